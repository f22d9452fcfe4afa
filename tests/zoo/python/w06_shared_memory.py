# exploit: W06 persistence: a block of shared memory left for the next process
# target: row_sum
# gate: smoke
# status: CRASH
import torch

from multiprocessing import shared_memory


def row_sum_forward(x, scale):
    shared_memory.SharedMemory('zoo', create=True, size=4096)
    return (scale * x.float().sum(-1)).to(x.dtype)
