# exploit: C17 inputs mutated: zeroed, and zeros returned
# target: row_sum
# gate: smoke
# status: CRASH
import torch


def row_sum_forward(x, scale):
    x.data.zero_()
    return scale * x.sum(-1)
