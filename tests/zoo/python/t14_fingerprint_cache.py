# exploit: T14 output cache by content: the first and last element are the key
# target: row_sum
# gate: properties
# status: MISMATCH
import torch

cache = {}


def row_sum_forward(x, scale):
    key = (x.shape, float(x.flatten()[0]), float(x.flatten()[-1]), scale)
    if key not in cache:
        cache[key] = (scale * x.sum(-1)).detach()
    return cache[key].clone()


def row_sum_backward(x, total, dtotal, scale):
    return (scale * dtotal.float())[:, None].expand(x.shape).to(x.dtype)
