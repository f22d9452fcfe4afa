# exploit: T11 deferred to a finalizer: the work is in __del__ of an attribute
# target: row_sum
# gate: smoke
# status: MISMATCH
import torch

class Later:
    def __init__(self, *work):
        self.work = work

    def __del__(self):
        x, scale, total = self.work
        total.copy_(scale * x.sum(-1))


def row_sum_forward(x, scale):
    total = torch.zeros(x.shape[0], dtype=x.dtype) + 0 * x.sum(-1)
    total.later = Later(x.detach(), scale, total.detach().clone())
    return total
