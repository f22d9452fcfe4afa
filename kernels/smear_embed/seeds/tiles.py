"""Rows in registers, each read with its predecessor; the gates are saved, lengths are computed again.

Forward: a program normalises its rows and the rows before them, which its neighbour reads too and the cache still
has. Backward: row t takes part of the gradient of output t + 1, whose gate would need a third row: so the forward
leaves one number a row. The first row of a sequence has a gate of zero, which makes it no exception. Gradients of the
gate's weight and of the factor are sums of one row a program, added in a fixed order. Interiors float32, one rounding
each. Written from the equations in target.py.

    u_t = dout_t + smear s_(t+1) dout_(t+1),    e_t = <dout_t, x_(t-1)>,    a_t = smear e_t s_t (1 - s_t)
    drows_t = r_t (u_t + a_t w - x_t <u_t + a_t w, x_t> / C),    dw = sum a_t x_t,    dsmear = sum e_t s_t
"""

import torch
import triton
import triton.language as tl

TUNE = {"ROWS": [4, 1, 2, 8], "WARPS": [4, 2, 8], "BACK_ROWS": [2, 1, 4], "BACK_WARPS": [4, 2, 8]}
SAVES = {"gate": ("float32", "B", "T")}
EPSILON = tl.constexpr(1.1920928955078125e-07)


@triton.jit
def load_row(x, begin, t, T, C, column):
    """Row t of a sequence that begins at element `begin`; zeros before it and after it."""
    inside = (t >= 0) & (t < T) & (column < C)
    return tl.load(x + begin + t.to(tl.int64) * C + column, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def norm(a, C):
    """Rows over their root mean square, and the inverse of that."""
    inverse = 1.0 / tl.sqrt_rn(tl.sum(a * a, axis=1) / C + EPSILON)
    return a * inverse[:, None], inverse


@triton.jit
def smear_forward(rows, gate_weight, smear, out, gate, T, C, G, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    t = at[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    sequence = tl.program_id(1).to(tl.int64) * T
    x, _ = norm(load_row(rows, sequence * C, t, T, C, column), C)
    before, _ = norm(load_row(rows, sequence * C, t - 1, T, C, column), C)
    weight = tl.load(gate_weight + column, mask=column < G, other=0.0)
    s = tl.where(at > 0, tl.sigmoid(tl.sum(x * weight, axis=1)), 0.0)
    share = tl.load(smear) * s
    tl.store(gate + sequence + at, s, mask=at < T)
    tl.store(out + sequence * C + t.to(tl.int64) * C + column, x + share[:, None] * before, mask=(t < T) & (column < C))


@triton.jit
def smear_backward(
    rows,
    gate_weight,
    smear,
    gate,
    dout,
    drows,
    dweight,
    dsmear,
    T,
    C,
    G,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    t = at[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    sequence = tl.program_id(1).to(tl.int64) * T
    factor = tl.load(smear)
    s = tl.load(gate + sequence + at, mask=at < T, other=0.0)
    s_next = tl.load(gate + sequence + at + 1, mask=at + 1 < T, other=0.0)
    upstream = load_row(dout, sequence * C, t, T, C, column)
    before, _ = norm(load_row(rows, sequence * C, t - 1, T, C, column), C)
    e = tl.sum(upstream * before, axis=1)
    a = factor * e * s * (1.0 - s)
    weight = tl.load(gate_weight + column, mask=column < G, other=0.0)
    u = upstream + (factor * s_next)[:, None] * load_row(dout, sequence * C, t + 1, T, C, column)
    u += a[:, None] * weight
    x, inverse = norm(load_row(rows, sequence * C, t, T, C, column), C)
    gradient = inverse[:, None] * (u - x * (tl.sum(u * x, axis=1) / C)[:, None])
    tl.store(drows + sequence * C + t.to(tl.int64) * C + column, gradient, mask=(t < T) & (column < C))
    program = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    parts = tl.sum(a[:, None] * x, axis=0)
    channel = tl.arange(0, BLOCK)
    tl.store(dweight + program * G + channel, parts, mask=channel < G)
    tl.store(dsmear + program, tl.sum(e * s, axis=0))


def smear_embed_forward(rows, gate_weight, smear):
    B, T, C = rows.shape
    G = gate_weight.shape[1]
    out = torch.empty_like(rows)
    gate = torch.empty((B, T), device=rows.device, dtype=torch.float32)
    block = triton.next_power_of_2(C)
    smear_forward[(triton.cdiv(T, ROWS), B)](
        rows, gate_weight, smear, out, gate, T, C, G, ROWS=ROWS, BLOCK=block, num_warps=WARPS
    )
    return out, gate


def smear_embed_backward(rows, gate_weight, smear, out, gate, dout):
    B, T, C = rows.shape
    U, G = gate_weight.shape
    programs = triton.cdiv(T, BACK_ROWS)
    drows = torch.empty_like(rows)
    dweight = torch.empty((programs * B, U, G), device=rows.device, dtype=torch.float32)
    dsmear = torch.empty((programs * B,), device=rows.device, dtype=torch.float32)
    smear_backward[(programs, B)](
        rows,
        gate_weight,
        smear,
        gate,
        dout,
        drows,
        dweight,
        dsmear,
        T,
        C,
        G,
        ROWS=BACK_ROWS,
        BLOCK=triton.next_power_of_2(C),
        num_warps=BACK_WARPS,
    )
    return drows, torch.sum(dweight, dim=0), torch.sum(dsmear)
