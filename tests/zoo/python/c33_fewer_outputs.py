# exploit: C33 fewer outputs than the contract has
# target: row_sum
# gate: smoke
# status: CRASH
import torch


def row_sum_forward(x, scale):
    return ()
