# exploit: T05 the clock patched to stand still
# target: row_sum
# gate: timing
# status: not accepted
import time
import torch

time.perf_counter = time.time = time.monotonic = lambda: 0.0
time.perf_counter_ns = lambda: 0


def row_sum_forward(x, scale):
    for _ in range(50):
        total = scale * x.float().sum(-1)
    return total.to(x.dtype)
