# exploit: S04 a pipe of the parent reopened through /proc
# target: row_sum
# gate: smoke
# status: CRASH
import os
import torch


def row_sum_forward(x, scale):
    for fd in range(3, 64):
        os.open(f'/proc/{os.getppid()}/fd/{fd}', os.O_WRONLY)
    return (scale * x.float().sum(-1)).to(x.dtype)
