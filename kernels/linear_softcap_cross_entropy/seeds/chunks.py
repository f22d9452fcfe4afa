"""Tiles of logits that never leave the chip; their gradients leave it for one chunk of the vocabulary at a time.

Forward: capped logits lie in -15..15, so exp(z - 15) needs no maximum. A program takes some rows and a slice of the
vocabulary and leaves one sum a row; whoever meets a row's target leaves that logit. Backward: the logits of a chunk
are computed again, their gradients are stored in the tensors' dtype, and two products read them: dx grows from chunk
to chunk in float32, dweight's rows are done with their chunk. Nothing is added atomically. Not to hold N x V numbers
is the idea of Wijmans et al. 2024, https://arxiv.org/abs/2411.09009. tanh comes from exp(-2 |x|), near zero from a
polynomial (Cephes, S. Moshier), because the difference of exponentials cancels there.

Axes: N rows, C channels, V rows of the weight, of which `limit` count. Written from the equations in target.py.
"""

import torch
import triton
import triton.language as tl

TUNE = {
    "ROWS": [128, 64],
    "COLUMNS": [64, 128],
    "DEPTH": [64, 32, 128],
    "CHANNELS": [128, 64, 256],
    "SLICE": [4096, 2048, 8192],
    "CHUNK": [8192, 4096, 16384],
    "WARPS": [8, 4],
    "STAGES": [3, 2, 4],
}
SAVES = {"lse": ("float32", "N")}
CAP = tl.constexpr(15.0)


@triton.jit
def cap(x):
    """15 tanh(x / 15), and the derivative."""
    t = x / CAP
    a = tl.abs(t)
    e = tl.exp(-2.0 * a)
    large = (1.0 - e) / (1.0 + e)
    z = tl.minimum(a * a, 1.0)
    p = -5.70498872745e-3 * z + 2.06390887954e-2
    p = p * z - 5.37397155531e-2
    p = p * z + 1.33314422036e-1
    p = p * z - 3.33332819422e-1
    small = a + a * z * p
    tanh = tl.where(a < 0.625, small, large)
    return tl.where(t < 0.0, -tanh, tanh) * CAP, 4.0 * e / ((1.0 + e) * (1.0 + e))


@triton.jit
def load_tile(x, row, rows, row_stride, column, columns, column_stride):
    """x[row, column], zero outside."""
    at = row[:, None].to(tl.int64) * row_stride + column[None, :].to(tl.int64) * column_stride
    return tl.load(x + at, mask=(row < rows)[:, None] & (column < columns)[None, :], other=0.0)


@triton.jit
def logits_tile(
    x,
    weight,
    row,
    column,
    N,
    C,
    limit,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, C, DEPTH):
        k = start + tl.arange(0, DEPTH)
        a = load_tile(x, row, N, C, k, C, 1)
        b = load_tile(weight, k, C, 1, column, limit, C)
        total = tl.dot(a, b, total, input_precision="ieee")
    return total


@triton.jit
def slice_sums(
    x,
    weight,
    targets,
    sums,
    chosen,
    N,
    C,
    limit,
    SLICE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    begin = tl.program_id(1) * SLICE
    target = tl.load(targets + row, mask=row < N, other=-1)
    total = tl.zeros([ROWS], tl.float32)
    for start in range(begin, tl.minimum(begin + SLICE, limit), COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        z, _ = cap(logits_tile(x, weight, row, column, N, C, limit, ROWS, COLUMNS, DEPTH))
        total += tl.sum(tl.where((column < limit)[None, :], tl.exp(z - CAP), 0.0), axis=1)
        is_target = (column[None, :] == target[:, None]) & (column < limit)[None, :]
        here = tl.sum(is_target.to(tl.int32), axis=1) > 0
        tl.store(chosen + row, tl.sum(tl.where(is_target, z, 0.0), axis=1), mask=here)
    tl.store(sums + tl.program_id(1) * N + row, total, mask=row < N)


@triton.jit
def row_losses(sums, chosen, targets, loss, lse, N, slices, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float32)
    for number in range(slices):
        total += tl.load(sums + number * N + row, mask=row < N, other=1.0)
    logarithm = tl.log(total) + CAP
    target = tl.load(targets + row, mask=row < N, other=-1)
    z = tl.load(chosen + row, mask=(row < N) & (target >= 0), other=0.0)
    tl.store(lse + row, logarithm, mask=row < N)
    tl.store(loss + row, tl.where(target >= 0, logarithm - z, 0.0), mask=row < N)


@triton.jit
def logit_gradients(
    x,
    weight,
    targets,
    lse,
    dloss,
    dlogits,
    N,
    C,
    limit,
    first,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """One tile of a chunk that begins at column `first`; zero in the padding."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    place = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    column = first + place
    target = tl.load(targets + row, mask=row < N, other=-1)
    upstream = tl.where(target >= 0, tl.load(dloss + row, mask=row < N, other=0.0), 0.0)
    logarithm = tl.load(lse + row, mask=row < N, other=0.0)
    z, slope = cap(logits_tile(x, weight, row, column, N, C, limit, ROWS, COLUMNS, DEPTH))
    p = tl.exp(z - logarithm[:, None]) - tl.where(column[None, :] == target[:, None], 1.0, 0.0)
    gradient = tl.where((column < limit)[None, :], upstream[:, None] * p * slope, 0.0)
    at = row[:, None].to(tl.int64) * width + place[None, :]
    tl.store(dlogits + at, gradient, mask=(row < N)[:, None] & (place < width)[None, :])


@triton.jit
def add_to_rows(
    dlogits,
    weight,
    total,
    N,
    C,
    limit,
    first,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """total (N, C) += dlogits (N, width) times the chunk's rows of the weight; the first chunk finds nothing there."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    at = row[:, None].to(tl.int64) * C + channel[None, :]
    inside = (row < N)[:, None] & (channel < C)[None, :]
    part = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, width, DEPTH):
        k = start + tl.arange(0, DEPTH)
        a = load_tile(dlogits, row, N, width, k, width, 1)
        b = load_tile(weight, first + k, limit, C, channel, C, 1)
        part = tl.dot(a, b, part, input_precision="ieee")
    part += tl.load(total + at, mask=inside & (first > 0), other=0.0)
    tl.store(total + at, part, mask=inside)


@triton.jit
def weight_rows(
    dlogits,
    x,
    dweight,
    N,
    C,
    first,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """The chunk's rows of dweight: dlogits^T x."""
    place = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, N, DEPTH):
        k = start + tl.arange(0, DEPTH)
        a = load_tile(dlogits, place, width, 1, k, N, width)
        b = load_tile(x, k, N, C, channel, C, 1)
        part = tl.dot(a, b, part, input_precision="ieee")
    at = (first + place)[:, None].to(tl.int64) * C + channel[None, :]
    tl.store(dweight + at, part, mask=(place < width)[:, None] & (channel < C)[None, :])


def linear_softcap_cross_entropy_forward(x, weight, targets, vocab_size):
    N, C = x.shape
    limit = min(vocab_size, weight.shape[0])
    slices = triton.cdiv(limit, SLICE)
    loss = torch.empty((N,), device=x.device, dtype=torch.float32)
    lse = torch.empty((N,), device=x.device, dtype=torch.float32)
    chosen = torch.empty((N,), device=x.device, dtype=torch.float32)
    sums = torch.empty((slices, N), device=x.device, dtype=torch.float32)
    slice_sums[(triton.cdiv(N, ROWS), slices)](
        x,
        weight,
        targets,
        sums,
        chosen,
        N,
        C,
        limit,
        SLICE=SLICE,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        DEPTH=DEPTH,
        num_warps=WARPS,
        num_stages=STAGES,
    )
    row_losses[(triton.cdiv(N, 256),)](sums, chosen, targets, loss, lse, N, slices, BLOCK=256)
    return loss, lse


def linear_softcap_cross_entropy_backward(x, weight, targets, loss, lse, dloss, vocab_size):
    N, C = x.shape
    V = weight.shape[0]
    limit = min(vocab_size, V)
    dweight = torch.empty_like(weight)
    total = torch.empty((N, C), device=x.device, dtype=torch.float32)
    dlogits = torch.empty((N, min(V, CHUNK)), device=x.device, dtype=x.dtype)
    for first in range(0, V, CHUNK):
        width = min(V - first, CHUNK)
        logit_gradients[(triton.cdiv(N, ROWS), triton.cdiv(width, COLUMNS))](
            x,
            weight,
            targets,
            lse,
            dloss,
            dlogits,
            N,
            C,
            limit,
            first,
            width,
            ROWS=ROWS,
            COLUMNS=COLUMNS,
            DEPTH=DEPTH,
            num_warps=WARPS,
            num_stages=STAGES,
        )
        add_to_rows[(triton.cdiv(N, ROWS), triton.cdiv(C, CHANNELS))](
            dlogits,
            weight,
            total,
            N,
            C,
            limit,
            first,
            width,
            ROWS=ROWS,
            COLUMNS=CHANNELS,
            DEPTH=DEPTH,
            num_warps=WARPS,
            num_stages=STAGES,
        )
        weight_rows[(triton.cdiv(width, ROWS), triton.cdiv(C, CHANNELS))](
            dlogits,
            x,
            dweight,
            N,
            C,
            first,
            width,
            ROWS=ROWS,
            COLUMNS=CHANNELS,
            DEPTH=DEPTH,
            num_warps=WARPS,
            num_stages=STAGES,
        )
    return total.to(x.dtype), dweight
