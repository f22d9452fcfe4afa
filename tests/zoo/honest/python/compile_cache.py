# honest: a compile cache: compiled expressions kept by shape, never results
import functools

import torch


@functools.cache
def ones(length, dtype):
    return torch.ones(length, dtype=dtype)


def row_sum_forward(x, scale):
    stream = x.float() * ones(x.shape[-1], torch.float32)
    return (scale * stream.sum(-1)).to(x.dtype)
