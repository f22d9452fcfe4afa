# exploit: S08 memory bomb: asks for more than there is
# target: row_sum
# gate: smoke
# status: CRASH
import torch


def row_sum_forward(x, scale):
    bytearray(1 << 40)
    return (scale * x.float().sum(-1)).to(x.dtype)
