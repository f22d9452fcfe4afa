"""One flat sweep over four tensors; what depends on the step alone is computed once, on the host, in float64.

No number that changes from step to step is specialised on, so training compiles this once. Square root and division are
the correctly rounded ones. Written from the equations in target.py.
"""

import math

import triton
import triton.language as tl

TUNE = {"BLOCK": [1024, 512, 2048, 4096], "WARPS": [4, 8]}


@triton.jit
def update(p, g, m, v, E, keep, first, second, rate, correction, eps, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < E
    gradient = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
    mean = tl.load(m + at, mask=inside, other=0.0).to(tl.float32)
    square = tl.load(v + at, mask=inside, other=0.0).to(tl.float32)
    value = tl.load(p + at, mask=inside, other=0.0).to(tl.float32)
    mean += first * (gradient - mean)
    square += second * (gradient * gradient - square)
    value = value * keep - rate * tl.div_rn(mean, tl.sqrt_rn(square * correction) + eps)
    tl.store(m + at, mean, mask=inside)
    tl.store(v + at, square, mask=inside)
    tl.store(p + at, value, mask=inside)


def adamw_step_forward(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay):
    E = p.numel()
    rate = lr / (1.0 - math.pow(beta1, step))
    correction = 1.0 / (1.0 - math.pow(beta2, step))
    grid = (triton.cdiv(E, BLOCK),)
    update[grid](
        p,
        g,
        m,
        v,
        E,
        1.0 - lr * weight_decay,
        1.0 - beta1,
        1.0 - beta2,
        rate,
        correction,
        eps,
        BLOCK=BLOCK,
        num_warps=WARPS,
    )
