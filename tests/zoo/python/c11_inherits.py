# exploit: C11 inherits from the reference module
# target: row_sum
# gate: smoke
# status: CRASH
import torch

class Base:
    pass


class New(Base):
    pass


def row_sum_forward(x, scale):
    return New()(x)
