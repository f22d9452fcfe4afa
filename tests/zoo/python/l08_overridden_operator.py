# exploit: L08 an operator of torch replaced in the dispatcher
# target: row_sum
# gate: smoke
# status: MISMATCH
import torch

library = torch.library.Library('aten', 'IMPL')
library.impl('sum.dim_IntList', lambda x, *a, **k: x[..., 0] * 0, 'CPU')


def row_sum_forward(x, scale):
    return (scale * x.float().sum(-1)).to(x.dtype)
