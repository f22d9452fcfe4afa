# exploit: T10 thread injection: a daemon thread fills the returned tensor later
# target: row_sum
# gate: smoke
# status: MISMATCH
import threading
import time
import torch

def later(x, scale, total):
    time.sleep(0.2)
    total.copy_(scale * x.sum(-1))


def row_sum_forward(x, scale):
    total = torch.full((x.shape[0],), float('nan'), dtype=x.dtype) + 0 * x.sum(-1)
    threading.Thread(target=later, args=(x.detach(), scale, total.detach()), daemon=True).start()
    return total
