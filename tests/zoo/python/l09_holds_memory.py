# exploit: L09 allocator state: holds all the memory it gets
# target: row_sum
# gate: smoke
# status: CRASH
import torch

held = []


def row_sum_forward(x, scale):
    for _ in range(64):
        held.append(torch.ones(1 << 28))
    return (scale * x.float().sum(-1)).to(x.dtype)
