# exploit: T08 a lazy subclass: computes when somebody looks
# target: row_sum
# gate: smoke
# status: CRASH
import torch

class Lazy(torch.Tensor):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return (self.scale * self.x.sum(-1)) if function is torch.Tensor.__eq__ else NotImplemented


def row_sum_forward(x, scale):
    lazy = torch.empty(x.shape[0]).as_subclass(Lazy)
    lazy.x, lazy.scale = x, scale
    return lazy
