"""Tiles of queries against the keys they can see, online softmax in powers of two; the backward in two kernels.

Keys are walked in three parts: tiles that the window's left edge may cut, tiles that every query of the tile sees whole
(no mask), and tiles that the diagonal cuts. The backward computes the scores again from the saved logarithms: one
kernel keeps a tile of keys and walks the queries of every head that reads it (dk, dv), the other keeps queries and
walks keys (dq). Nothing is added atomically, so results are the same every time, for 7 products of tiles instead of 5.
Products have operands in the tensors' dtype (float32 ones in full precision) and float32 sums. Written from the
equations of Dao et al. 2022, https://arxiv.org/abs/2205.14135, and target.py.

Layout: q, out (B, T, H, D), k, v (B, T, K, D), lse (B, T, H) in base 2.
"""

import math

import torch
import triton
import triton.language as tl

TUNE = {
    "QUERIES": [64, 128, 32, 16],
    "KEYS": [64, 128, 32],
    "WARPS": [4, 8],
    "STAGES": [2, 3, 4],
    "BACK_QUERIES": [32, 64, 16],
    "BACK_KEYS": [64, 32, 128],
    "BACK_WARPS": [8, 4],
    "BACK_STAGES": [2, 3],
}
SAVES = {"lse": ("float32", "B", "T", "H")}
LOG2E = 1.4426950408889634
NOTHING = tl.constexpr(-1.0e30)


@triton.jit
def load_rows(x, base, row, stride, limit, column, D: tl.constexpr):
    """A tile of rows, zero outside; `row` may be negative."""
    at = base + row[:, None].to(tl.int64) * stride + column[None, :]
    return tl.load(x + at, mask=((row >= 0) & (row < limit))[:, None] & (column < D)[None, :], other=0.0)


@triton.jit
def seen(query, key, window, T):
    """Which of these keys each of these queries sees."""
    age = query - key
    return (age >= 0) & (age <= window) & (key >= 0) & (query < T)


@triton.jit
def walk_keys(
    q,
    k,
    v,
    acc,
    total,
    top,
    query,
    low,
    high,
    base,
    stride,
    window,
    T,
    scale,
    column,
    masked: tl.constexpr,
    D: tl.constexpr,
    KEYS: tl.constexpr,
):
    """One part of the walk: keys low..high; returns the sums so far."""
    for start in range(low, high, KEYS):
        key = start + tl.arange(0, KEYS)
        k_tile = load_rows(k, base, key, stride, T, column, D)
        s = tl.dot(q, tl.trans(k_tile), input_precision="ieee") * scale
        if masked:
            s = tl.where(seen(query[:, None], key[None, :], window, T), s, NOTHING)
        new_top = tl.maximum(top, tl.max(s, axis=1))
        p = tl.exp2(s - new_top[:, None])
        if masked:
            p = tl.where(s > NOTHING, p, 0.0)
        fade = tl.exp2(top - new_top)
        v_tile = load_rows(v, base, key, stride, T, column, D)
        acc = acc * fade[:, None] + tl.dot(p.to(v_tile.dtype), v_tile, input_precision="ieee")
        total = total * fade + tl.sum(p, axis=1)
        top = new_top
    return acc, total, top


@triton.jit
def forward(
    q,
    k,
    v,
    out,
    lse,
    window,
    T,
    H,
    K,
    scale,
    D: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    first = tl.program_id(0) * QUERIES
    batch = (tl.program_id(1) // H).to(tl.int64)
    head = tl.program_id(1) % H
    query = first + tl.arange(0, QUERIES)
    column = tl.arange(0, WIDTH)
    base = batch * T * K * D + (head // (H // K)) * D
    q_base = batch * T * H * D + head * D
    q_tile = load_rows(q, q_base, query, H * D, T, column, D)
    acc = tl.zeros([QUERIES, WIDTH], tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    top = tl.full([QUERIES], NOTHING, tl.float32)

    last = tl.minimum(first + QUERIES, T)
    low = tl.maximum(first - window, 0) // KEYS * KEYS
    whole_low = (tl.maximum(last - 1 - window, 0) + KEYS - 1) // KEYS * KEYS
    whole_high = tl.maximum((first + 1) // KEYS * KEYS, low)
    whole_low = tl.minimum(tl.maximum(whole_low, low), whole_high)
    acc, total, top = walk_keys(
        q_tile, k, v, acc, total, top, query, low, whole_low, base, K * D, window, T, scale, column, True, D, KEYS
    )
    acc, total, top = walk_keys(
        q_tile,
        k,
        v,
        acc,
        total,
        top,
        query,
        whole_low,
        whole_high,
        base,
        K * D,
        window,
        T,
        scale,
        column,
        False,
        D,
        KEYS,
    )
    acc, total, top = walk_keys(
        q_tile, k, v, acc, total, top, query, whole_high, last, base, K * D, window, T, scale, column, True, D, KEYS
    )
    inside = (query < T)[:, None] & (column < D)[None, :]
    at = q_base + query[:, None].to(tl.int64) * (H * D) + column[None, :]
    total = tl.where(query < T, total, 1.0)
    tl.store(out + at, acc / total[:, None], mask=inside)
    tl.store(lse + (batch * T + query) * H + head, top + tl.log2(total), mask=query < T)


@triton.jit
def row_products(out, dout, delta, T, H, D: tl.constexpr, WIDTH: tl.constexpr, QUERIES: tl.constexpr):
    """delta = <out, dout> of each query: what the softmax's gradient subtracts."""
    batch = (tl.program_id(1) // H).to(tl.int64)
    head = tl.program_id(1) % H
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    column = tl.arange(0, WIDTH)
    base = batch * T * H * D + head * D
    o = load_rows(out, base, query, H * D, T, column, D).to(tl.float32)
    do = load_rows(dout, base, query, H * D, T, column, D).to(tl.float32)
    tl.store(delta + (batch * T + query) * H + head, tl.sum(o * do, axis=1), mask=query < T)


@triton.jit
def gradients_of_keys(
    q,
    k,
    v,
    dout,
    lse,
    delta,
    dk,
    dv,
    window,
    T,
    H,
    K,
    scale,
    back,
    D: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    first = tl.program_id(0) * KEYS
    batch = (tl.program_id(1) // K).to(tl.int64)
    head = tl.program_id(1) % K
    key = first + tl.arange(0, KEYS)
    column = tl.arange(0, WIDTH)
    base = batch * T * K * D + head * D
    k_tile = load_rows(k, base, key, K * D, T, column, D)
    v_tile = load_rows(v, base, key, K * D, T, column, D)
    dk_sum = tl.zeros([KEYS, WIDTH], tl.float32)
    dv_sum = tl.zeros([KEYS, WIDTH], tl.float32)
    low = first // QUERIES * QUERIES
    high = tl.minimum(first + KEYS + tl.minimum(window, T), T)
    for member in range(H // K):
        q_head = head * (H // K) + member
        q_base = batch * T * H * D + q_head * D
        for start in range(low, high, QUERIES):
            query = start + tl.arange(0, QUERIES)
            q_tile = load_rows(q, q_base, query, H * D, T, column, D)
            do = load_rows(dout, q_base, query, H * D, T, column, D)
            row = (batch * T + query) * H + q_head
            logarithm = tl.load(lse + row, mask=query < T, other=0.0)
            d = tl.load(delta + row, mask=query < T, other=0.0)
            s = tl.dot(q_tile, tl.trans(k_tile), input_precision="ieee") * scale
            p = tl.where(seen(query[:, None], key[None, :], window, T), tl.exp2(s - logarithm[:, None]), 0.0)
            dv_sum += tl.dot(tl.trans(p).to(do.dtype), do, input_precision="ieee")
            dp = tl.dot(do, tl.trans(v_tile), input_precision="ieee")
            ds = p * (dp - d[:, None])
            dk_sum += tl.dot(tl.trans(ds).to(q_tile.dtype), q_tile, input_precision="ieee")
    at = base + key[:, None].to(tl.int64) * (K * D) + column[None, :]
    inside = (key < T)[:, None] & (column < D)[None, :]
    tl.store(dk + at, dk_sum * back, mask=inside)
    tl.store(dv + at, dv_sum, mask=inside)


@triton.jit
def gradients_of_queries(
    q,
    k,
    v,
    dout,
    lse,
    delta,
    dq,
    window,
    T,
    H,
    K,
    scale,
    back,
    D: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    first = tl.program_id(0) * QUERIES
    batch = (tl.program_id(1) // H).to(tl.int64)
    head = tl.program_id(1) % H
    query = first + tl.arange(0, QUERIES)
    column = tl.arange(0, WIDTH)
    base = batch * T * K * D + (head // (H // K)) * D
    q_base = batch * T * H * D + head * D
    q_tile = load_rows(q, q_base, query, H * D, T, column, D)
    do = load_rows(dout, q_base, query, H * D, T, column, D)
    row = (batch * T + query) * H + head
    logarithm = tl.load(lse + row, mask=query < T, other=0.0)
    d = tl.load(delta + row, mask=query < T, other=0.0)
    dq_sum = tl.zeros([QUERIES, WIDTH], tl.float32)
    low = tl.maximum(first - window, 0) // KEYS * KEYS
    for start in range(low, tl.minimum(first + QUERIES, T), KEYS):
        key = start + tl.arange(0, KEYS)
        k_tile = load_rows(k, base, key, K * D, T, column, D)
        v_tile = load_rows(v, base, key, K * D, T, column, D)
        s = tl.dot(q_tile, tl.trans(k_tile), input_precision="ieee") * scale
        p = tl.where(seen(query[:, None], key[None, :], window, T), tl.exp2(s - logarithm[:, None]), 0.0)
        dp = tl.dot(do, tl.trans(v_tile), input_precision="ieee")
        ds = p * (dp - d[:, None])
        dq_sum += tl.dot(ds.to(k_tile.dtype), k_tile, input_precision="ieee")
    at = q_base + query[:, None].to(tl.int64) * (H * D) + column[None, :]
    tl.store(dq + at, dq_sum * back, mask=(query < T)[:, None] & (column < D)[None, :])


def attention_forward(q, k, v, window):
    B, T, H, D = q.shape
    K = k.shape[2]
    out = torch.empty_like(q)
    lse = torch.empty((B, T, H), device=q.device, dtype=torch.float32)
    reach = min(window, T)
    width = max(16, triton.next_power_of_2(D))
    grid = (triton.cdiv(T, QUERIES), B * H)
    forward[grid](
        q,
        k,
        v,
        out,
        lse,
        reach,
        T,
        H,
        K,
        LOG2E / math.sqrt(D),
        D=D,
        WIDTH=width,
        QUERIES=QUERIES,
        KEYS=KEYS,
        num_warps=WARPS,
        num_stages=STAGES,
    )
    return out, lse


def attention_backward(q, k, v, out, lse, dout, window):
    B, T, H, D = q.shape
    K = k.shape[2]
    dq = torch.empty_like(q)
    dk = torch.empty_like(k)
    dv = torch.empty_like(v)
    delta = torch.empty((B, T, H), device=q.device, dtype=torch.float32)
    reach = min(window, T)
    width = max(16, triton.next_power_of_2(D))
    back = 1.0 / math.sqrt(D)
    row_products[(triton.cdiv(T, 64), B * H)](out, dout, delta, T, H, D=D, WIDTH=width, QUERIES=64)
    gradients_of_keys[(triton.cdiv(T, BACK_KEYS), B * K)](
        q,
        k,
        v,
        dout,
        lse,
        delta,
        dk,
        dv,
        reach,
        T,
        H,
        K,
        LOG2E * back,
        back,
        D=D,
        WIDTH=width,
        QUERIES=BACK_QUERIES,
        KEYS=BACK_KEYS,
        num_warps=BACK_WARPS,
        num_stages=BACK_STAGES,
    )
    gradients_of_queries[(triton.cdiv(T, BACK_KEYS), B * H)](
        q,
        k,
        v,
        dout,
        lse,
        delta,
        dq,
        reach,
        T,
        H,
        K,
        LOG2E * back,
        back,
        D=D,
        WIDTH=width,
        QUERIES=BACK_KEYS,
        KEYS=BACK_QUERIES,
        num_warps=BACK_WARPS,
        num_stages=BACK_STAGES,
    )
    return dq, dk, dv
