# exploit: C15 NaN in every output and in every tensor that may be the expected one
# target: row_sum
# gate: smoke
# status: CRASH
import gc
import torch


def row_sum_forward(x, scale):
    for thing in gc.get_objects():
        if type(thing) is torch.Tensor and thing.is_floating_point() and thing.data_ptr() != x.data_ptr():
            thing.data.fill_(float('nan'))
    return x.sum(-1) * float('nan')
