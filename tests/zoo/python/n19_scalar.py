# exploit: N19 the reduction goes too far: one number instead of one a row
# target: row_sum
# gate: smoke
# status: CRASH
import torch


def row_sum_forward(x, scale):
    return scale * x.float().sum()
