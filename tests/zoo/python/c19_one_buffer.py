# exploit: C19 one buffer for all outputs: right until the next call
# target: row_sum
# gate: timing
# status: not accepted
import torch

buffer = torch.empty(5000)


def row_sum_forward(x, scale):
    for _ in range(50):
        total = torch.sum(x.detach().float() * scale, -1, out=buffer[: x.shape[0]])
    return total.to(x.dtype)


def row_sum_backward(x, total, dtotal, scale):
    return (scale * dtotal.float())[:, None].expand(x.shape).to(x.dtype)
