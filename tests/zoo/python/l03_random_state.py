# exploit: L03 random state consumed: draws from the global generator and seeds it
# target: row_sum
# gate: timing
# status: not accepted
import torch


def row_sum_forward(x, scale):
    torch.manual_seed(0)
    torch.randn(1000)
    for _ in range(50):
        total = scale * x.float().sum(-1)
    return total.to(x.dtype)
