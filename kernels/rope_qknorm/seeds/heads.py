"""Queries and keys in one launch; a program has some positions and some heads, the halves of a head stay apart.

It loads its positions' angles once for all its heads. The length of the turned head is that of the sum of its halves'
squares, so nothing is concatenated. The backward turns q and k again rather than read anything saved: as many bytes,
and no rounding in between. Tiles are (positions, heads, angles). Written from the equations in target.py.
"""

import torch
import triton
import triton.language as tl

TUNE = {"POSITIONS": [8, 2, 4, 16], "HEADS": [4, 1, 2, 8], "WARPS": [4, 2, 8]}
EPSILON = tl.constexpr(1.1920928955078125e-07)
SHARPNESS = tl.constexpr(1.2)


@triton.jit
def positions_of(N, F, POSITIONS: tl.constexpr, BLOCK: tl.constexpr):
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)[:, None, None]
    angle = tl.arange(0, BLOCK)[None, None, :]
    return position, angle, (position < N) & (angle < F)


@triton.jit
def turned(x, at, F, inside, c, s):
    """Both halves of the turned heads, and 1 / length."""
    a = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(x + at + F, mask=inside, other=0.0).to(tl.float32)
    u = c * a + s * b
    w = c * b - s * a
    return u, w, (1.0 / tl.sqrt_rn(tl.sum(u * u + w * w, axis=2) / (2 * F) + EPSILON))[:, :, None]


@triton.jit
def turn(x, out, heads, position, angle, exists, c, s, F, HEADS: tl.constexpr):
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)[None, :, None]
    at = (position.to(tl.int64) * heads + head) * (2 * F) + angle
    inside = exists & (head < heads)
    u, w, r = turned(x, at, F, inside, c, s)
    tl.store(out + at, u * r * SHARPNESS, mask=inside)
    tl.store(out + at + F, w * r * SHARPNESS, mask=inside)


@triton.jit
def turn_back(x, dout, dx, heads, position, angle, exists, c, s, F, HEADS: tl.constexpr):
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)[None, :, None]
    at = (position.to(tl.int64) * heads + head) * (2 * F) + angle
    inside = exists & (head < heads)
    u, w, r = turned(x, at, F, inside, c, s)
    du = tl.load(dout + at, mask=inside, other=0.0).to(tl.float32)
    dw = tl.load(dout + at + F, mask=inside, other=0.0).to(tl.float32)
    u *= r
    w *= r
    mean = (tl.sum(u * du + w * dw, axis=2) / (2 * F))[:, :, None]
    du = r * (du - u * mean) * SHARPNESS
    dw = r * (dw - w * mean) * SHARPNESS
    tl.store(dx + at, c * du - s * dw, mask=inside)
    tl.store(dx + at + F, s * du + c * dw, mask=inside)


@triton.jit
def forward(
    q, k, cos, sin, q_out, k_out, N, T, H, K, F, POSITIONS: tl.constexpr, HEADS: tl.constexpr, BLOCK: tl.constexpr
):
    position, angle, exists = positions_of(N, F, POSITIONS, BLOCK)
    place = (position % T) * F + angle
    c = tl.load(cos + place, mask=exists, other=0.0).to(tl.float32)
    s = tl.load(sin + place, mask=exists, other=0.0).to(tl.float32)
    turn(q, q_out, H, position, angle, exists, c, s, F, HEADS)
    if tl.program_id(1) * HEADS < K:
        turn(k, k_out, K, position, angle, exists, c, s, F, HEADS)


@triton.jit
def backward(
    q,
    k,
    cos,
    sin,
    dq_out,
    dk_out,
    dq,
    dk,
    N,
    T,
    H,
    K,
    F,
    POSITIONS: tl.constexpr,
    HEADS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    position, angle, exists = positions_of(N, F, POSITIONS, BLOCK)
    place = (position % T) * F + angle
    c = tl.load(cos + place, mask=exists, other=0.0).to(tl.float32)
    s = tl.load(sin + place, mask=exists, other=0.0).to(tl.float32)
    turn_back(q, dq_out, dq, H, position, angle, exists, c, s, F, HEADS)
    if tl.program_id(1) * HEADS < K:
        turn_back(k, dk_out, dk, K, position, angle, exists, c, s, F, HEADS)


def rope_qknorm_forward(q, k, cos, sin):
    B, T, H, D = q.shape
    K = k.shape[2]
    F = D // 2
    q_out = torch.empty_like(q)
    k_out = torch.empty_like(k)
    grid = (triton.cdiv(B * T, POSITIONS), triton.cdiv(max(H, K), HEADS))
    block = triton.next_power_of_2(F)
    forward[grid](
        q, k, cos, sin, q_out, k_out, B * T, T, H, K, F, POSITIONS=POSITIONS, HEADS=HEADS, BLOCK=block, num_warps=WARPS
    )
    return q_out, k_out


def rope_qknorm_backward(q, k, cos, sin, q_out, k_out, dq_out, dk_out):
    B, T, H, D = q.shape
    K = k.shape[2]
    F = D // 2
    dq = torch.empty_like(q)
    dk = torch.empty_like(k)
    grid = (triton.cdiv(B * T, POSITIONS), triton.cdiv(max(H, K), HEADS))
    block = triton.next_power_of_2(F)
    backward[grid](
        q,
        k,
        cos,
        sin,
        dq_out,
        dk_out,
        dq,
        dk,
        B * T,
        T,
        H,
        K,
        F,
        POSITIONS=POSITIONS,
        HEADS=HEADS,
        BLOCK=block,
        num_warps=WARPS,
    )
    return dq, dk
