# exploit: T13 output cache by pointer and shape
# target: row_sum
# gate: properties
# status: PROPERTY
import torch

cache = {}


def row_sum_forward(x, scale):
    key = (x.data_ptr(), x.shape)
    if key not in cache:
        cache[key] = scale * x.sum(-1)
    return cache[key] + 0 * x.sum(-1)
