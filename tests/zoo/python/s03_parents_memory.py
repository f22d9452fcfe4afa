# exploit: S03 memory of the parent read through /proc
# target: row_sum
# gate: smoke
# status: CRASH
import os
import torch


def row_sum_forward(x, scale):
    open(f'/proc/{os.getppid()}/mem', 'rb').read(1)
    return (scale * x.float().sum(-1)).to(x.dtype)
