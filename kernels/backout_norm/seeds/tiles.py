"""Rows in registers, several to a program: one sweep forward, one backward, nothing saved.

The backward reads x and x_back for the factor's gradient anyway, so it makes the rest and its length again: normed and
the row statistics are never read back. The factor's gradient is a sum of one number a program, added in a fixed order.
Interiors float32, one rounding each. Written from the equations in target.py.
"""

import torch
import triton
import triton.language as tl

TUNE = {"ROWS": [4, 1, 2, 8], "WARPS": [4, 2, 8], "BACK_ROWS": [4, 1, 2, 8], "BACK_WARPS": [8, 4, 2]}
EPSILON = tl.constexpr(1.1920928955078125e-07)


@triton.jit
def rest_rows(x, x_back, backout, N, C, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """A program's rows: offsets, which of them exist, x - backout x_back, its inverse length, and x_back."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    columns = tl.arange(0, BLOCK)[None, :]
    at = rows.to(tl.int64) * C + columns
    inside = (rows < N) & (columns < C)
    a = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(x_back + at, mask=inside, other=0.0).to(tl.float32)
    rest = a - tl.load(backout) * b
    return at, inside, rest, 1.0 / tl.sqrt_rn(tl.sum(rest * rest, axis=1) / C + EPSILON), b


@triton.jit
def norm_forward(x, x_back, backout, normed, N, C, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    at, inside, rest, inverse, _ = rest_rows(x, x_back, backout, N, C, ROWS, BLOCK)
    tl.store(normed + at, rest * inverse[:, None], mask=inside)


@triton.jit
def norm_backward(x, x_back, backout, dnormed, dx, dx_back, dbackout, N, C, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    at, inside, rest, inverse, b = rest_rows(x, x_back, backout, N, C, ROWS, BLOCK)
    upstream = tl.load(dnormed + at, mask=inside, other=0.0).to(tl.float32)
    n = rest * inverse[:, None]
    drest = inverse[:, None] * (upstream - n * (tl.sum(upstream * n, axis=1) / C)[:, None])
    tl.store(dx + at, drest, mask=inside)
    tl.store(dx_back + at, -tl.load(backout) * drest, mask=inside)
    tl.store(dbackout + tl.program_id(0), -tl.sum(tl.sum(drest * b, axis=1), axis=0))


def backout_norm_forward(x, x_back, backout):
    N, C = x.shape
    normed = torch.empty_like(x)
    block = triton.next_power_of_2(C)
    norm_forward[(triton.cdiv(N, ROWS),)](x, x_back, backout, normed, N, C, ROWS=ROWS, BLOCK=block, num_warps=WARPS)
    return normed


def backout_norm_backward(x, x_back, backout, normed, dnormed):
    N, C = x.shape
    programs = triton.cdiv(N, BACK_ROWS)
    dx = torch.empty_like(x)
    dx_back = torch.empty_like(x_back)
    dbackout = torch.empty((programs,), device=x.device, dtype=torch.float32)
    norm_backward[(programs,)](
        x,
        x_back,
        backout,
        dnormed,
        dx,
        dx_back,
        dbackout,
        N,
        C,
        ROWS=BACK_ROWS,
        BLOCK=triton.next_power_of_2(C),
        num_warps=BACK_WARPS,
    )
    return dx, dx_back, torch.sum(dbackout)
