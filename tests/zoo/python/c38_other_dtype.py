# exploit: C38 metadata: float64 where float32 is asked, to gain accuracy
# target: row_sum
# gate: smoke
# status: CRASH
import torch


def row_sum_forward(x, scale):
    return scale * x.double().sum(-1)
