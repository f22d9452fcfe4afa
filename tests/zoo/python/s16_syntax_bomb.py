# exploit: S16 fail-open: a source that breaks the parser
# target: row_sum
# gate: build
# status: BUILD
import torch


def row_sum_forward(x, scale):
    return x
