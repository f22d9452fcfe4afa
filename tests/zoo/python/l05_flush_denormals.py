# exploit: L05 floating-point state: denormals flushed for the whole process
# target: row_sum
# gate: timing
# status: not accepted
import torch

torch.set_flush_denormal(True)


def row_sum_forward(x, scale):
    for _ in range(50):
        total = scale * x.float().sum(-1)
    return total.to(x.dtype)
