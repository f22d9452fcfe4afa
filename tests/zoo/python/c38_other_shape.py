# exploit: C38 metadata: a shape that would be broadcast
# target: row_sum
# gate: smoke
# status: CRASH
import torch


def row_sum_forward(x, scale):
    return (scale * x.float().sum(-1, keepdim=True)).to(x.dtype)
