# exploit: T12 deferred into autograd: the forward returns a placeholder
# target: row_sum
# gate: smoke
# status: MISMATCH
import torch

class Deferred(torch.autograd.Function):
    @staticmethod
    def forward(context, x, scale):
        context.x, context.scale = x, scale
        context.total = torch.zeros(x.shape[0], dtype=x.dtype)
        return context.total

    @staticmethod
    def backward(context, dtotal):
        context.total.copy_(context.scale * context.x.sum(-1))
        return context.scale * dtotal[:, None].expand(context.x.shape), None


def row_sum_forward(x, scale):
    return Deferred.apply(x, scale)
