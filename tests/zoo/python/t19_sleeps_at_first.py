# exploit: T19 warm-up detection: sleeps while the harness warms up, then is as slow as ever
# target: row_sum
# gate: timing
# status: not accepted
import time
import torch

calls = []


def row_sum_forward(x, scale):
    calls.append(0)
    time.sleep(0.1 if len(calls) < 5 else 0)
    for _ in range(50):
        total = scale * x.float().sum(-1)
    return total.to(x.dtype)
