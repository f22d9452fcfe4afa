"""Rows in registers, several to a program: one pass forward, one pass backward, nothing saved.

The backward reads x and x0 for the gradients of the two weights anyway, so it makes the mix and its length again from
them: mixed, normed and the row statistics are never read back. The weights' gradients are sums of one number a program,
added in a fixed order. Interiors float32, one rounding each. Written from the equations in target.py.
"""

import torch
import triton
import triton.language as tl

TUNE = {"ROWS": [4, 1, 2, 8], "WARPS": [4, 2, 8]}
EPSILON = tl.constexpr(1.1920928955078125e-07)


@triton.jit
def tile(N, C, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Offsets of a program's rows, and which of them exist."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    columns = tl.arange(0, BLOCK)[None, :]
    return rows.to(tl.int64) * C + columns, (rows < N) & (columns < C)


@triton.jit
def inverse_length(a, C):
    return 1.0 / tl.sqrt_rn(tl.sum(a * a, axis=1) / C + EPSILON)


@triton.jit
def norm_gradient(a, da, C):
    """The gradient of a, where da is that of a / length(a)."""
    r = inverse_length(a, C)[:, None]
    n = a * r
    return r * (da - n * (tl.sum(da * n, axis=1) / C)[:, None])


@triton.jit
def mix_forward(x, x0, resid, skip, mixed, normed, N, C, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    at, inside = tile(N, C, ROWS, BLOCK)
    a = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(x0 + at, mask=inside, other=0.0).to(tl.float32)
    m = tl.load(resid) * a + tl.load(skip) * b
    tl.store(mixed + at, m, mask=inside)
    tl.store(normed + at, m * inverse_length(m, C)[:, None], mask=inside)


@triton.jit
def mix_backward(
    x, x0, resid, skip, dmixed, dnormed, dx, dx0, dresid, dskip, N, C, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    at, inside = tile(N, C, ROWS, BLOCK)
    weight = tl.load(resid)
    weight0 = tl.load(skip)
    a = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(x0 + at, mask=inside, other=0.0).to(tl.float32)
    dm = tl.load(dmixed + at, mask=inside, other=0.0).to(tl.float32)
    dn = tl.load(dnormed + at, mask=inside, other=0.0).to(tl.float32)
    dm += norm_gradient(weight * a + weight0 * b, dn, C)
    tl.store(dx + at, weight * dm, mask=inside)
    tl.store(dx0 + at, weight0 * dm, mask=inside)
    tl.store(dresid + tl.program_id(0), tl.sum(tl.sum(dm * a, axis=1), axis=0))
    tl.store(dskip + tl.program_id(0), tl.sum(tl.sum(dm * b, axis=1), axis=0))


@triton.jit
def norm_forward(x, y, N, C, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    at, inside = tile(N, C, ROWS, BLOCK)
    a = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + at, a * inverse_length(a, C)[:, None], mask=inside)


@triton.jit
def norm_backward(x, dy, dx, N, C, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    at, inside = tile(N, C, ROWS, BLOCK)
    a = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    da = tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(dx + at, norm_gradient(a, da, C), mask=inside)


def mix_norm_forward(x, x0, resid, skip):
    N, C = x.shape
    mixed = torch.empty_like(x)
    normed = torch.empty_like(x)
    block = triton.next_power_of_2(C)
    mix_forward[(triton.cdiv(N, ROWS),)](
        x, x0, resid, skip, mixed, normed, N, C, ROWS=ROWS, BLOCK=block, num_warps=WARPS
    )
    return mixed, normed


def mix_norm_backward(x, x0, resid, skip, mixed, normed, dmixed, dnormed):
    N, C = x.shape
    programs = triton.cdiv(N, ROWS)
    dx = torch.empty_like(x)
    dx0 = torch.empty_like(x)
    dresid = torch.empty((programs,), device=x.device, dtype=torch.float32)
    dskip = torch.empty((programs,), device=x.device, dtype=torch.float32)
    block = triton.next_power_of_2(C)
    mix_backward[(programs,)](
        x, x0, resid, skip, dmixed, dnormed, dx, dx0, dresid, dskip, N, C, ROWS=ROWS, BLOCK=block, num_warps=WARPS
    )
    return dx, dx0, torch.sum(dresid), torch.sum(dskip)


def rms_norm_forward(x):
    N, C = x.shape
    y = torch.empty_like(x)
    block = triton.next_power_of_2(C)
    norm_forward[(triton.cdiv(N, ROWS),)](x, y, N, C, ROWS=ROWS, BLOCK=block, num_warps=WARPS)
    return y


def rms_norm_backward(x, y, dy):
    N, C = x.shape
    dx = torch.empty_like(x)
    block = triton.next_power_of_2(C)
    norm_backward[(triton.cdiv(N, ROWS),)](x, dy, dx, N, C, ROWS=ROWS, BLOCK=block, num_warps=WARPS)
    return dx
