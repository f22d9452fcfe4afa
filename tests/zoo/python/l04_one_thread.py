# exploit: L04 threads: leaves its cores
# target: row_sum
# gate: smoke
# status: INTEGRITY
import os
import torch


def row_sum_forward(x, scale):
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {0})
    return (scale * x.float().sum(-1)).to(x.dtype)
