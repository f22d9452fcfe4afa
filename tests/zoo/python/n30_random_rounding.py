# exploit: N30 randomness: rounds up or down by chance
# target: row_sum
# gate: smoke
# status: MISMATCH
import torch


def row_sum_forward(x, scale):
    total = scale * x.float().sum(-1)
    return (total * (1 + 1e-3 * torch.rand_like(total))).to(x.dtype)
