# exploit: C01 stale memory: an empty tensor, in which the right answer may stand
# target: row_sum
# gate: smoke
# status: MISMATCH
import torch


def row_sum_forward(x, scale):
    return torch.empty(x.shape[0], dtype=x.dtype) + 0 * x.sum(-1)
