"""Everything but the products of matrices in six sweeps; the products are the library's, two sums fused into each.

momentum and row norms, one factor a row, scaling; after the polar iteration the sums of squares, one factor a row or
column, and the update. A factor needs sums over a whole matrix: one program a matrix makes it from numbers that the
sweeps left, so nothing is added atomically. All float32. Written from the equations in target.py.
"""

import math

import torch
import triton
import triton.language as tl

TUNE = {"ROWS": [4, 2, 8, 16], "BLOCK": [256, 128, 512], "WARPS": [4, 8, 2]}
POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


@triton.jit
def accumulate(grads, buffer, x, squares, R, N, momentum, rest, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Some rows: the buffer's step, the update before it is scaled, and its sum of squares."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for start in range(0, N, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = (row < R)[:, None] & (column < N)[None, :]
        at = row[:, None].to(tl.int64) * N + column[None, :]
        g = tl.load(grads + at, mask=inside, other=0.0)
        m = tl.load(buffer + at, mask=inside, other=0.0)
        m += rest * (g - m)
        u = g + momentum * (m - g)
        tl.store(buffer + at, m, mask=inside)
        tl.store(x + at, u, mask=inside)
        total += u * u
    tl.store(squares + row, tl.sum(total, axis=1), mask=row < R)


@triton.jit
def row_factors(squares, factors, M, BLOCK: tl.constexpr):
    """One matrix: what each row is multiplied by, so that all are of one length and the matrix of about one."""
    base = tl.program_id(0).to(tl.int64) * M
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, M, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(squares + base + at, mask=at < M, other=0.0)
    length = tl.sqrt_rn(tl.sum(total, axis=0) / M)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, M, BLOCK):
        at = start + tl.arange(0, BLOCK)
        square = tl.load(squares + base + at, mask=at < M, other=0.0)
        factor = length / tl.maximum(tl.sqrt_rn(square), 1e-6)
        total += factor * factor * square
    norm = tl.sqrt_rn(tl.sum(total, axis=0)) * 1.01 + 1e-6
    for start in range(0, M, BLOCK):
        at = start + tl.arange(0, BLOCK)
        square = tl.load(squares + base + at, mask=at < M, other=0.0)
        tl.store(factors + base + at, length / tl.maximum(tl.sqrt_rn(square), 1e-6) / norm, mask=at < M)


@triton.jit
def scale_rows(x, factors, R, N, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (row < R)[:, None] & (column < N)[None, :]
    at = row[:, None].to(tl.int64) * N + column[None, :]
    factor = tl.load(factors + row, mask=row < R, other=0.0)
    tl.store(x + at, tl.load(x + at, mask=inside, other=0.0) * factor[:, None], mask=inside)


@triton.jit
def row_squares(x, squares, R, N, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for start in range(0, N, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = (row < R)[:, None] & (column < N)[None, :]
        value = tl.load(x + row[:, None].to(tl.int64) * N + column[None, :], mask=inside, other=0.0)
        total += value * value
    tl.store(squares + row, tl.sum(total, axis=1), mask=row < R)


@triton.jit
def column_squares(x, squares, M, N, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    matrix = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, M, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < M)[:, None] & (column < N)[None, :]
        value = tl.load(x + (matrix * M + row)[:, None] * N + column[None, :], mask=inside, other=0.0)
        total += value * value
    tl.store(squares + matrix * N + column, tl.sum(total, axis=0), mask=column < N)


@triton.jit
def even_out(squares, second, factors, S, size, side, rest, BLOCK: tl.constexpr):
    """One matrix: its norm restored, the second moments' step, and what each row or column is multiplied by."""
    base = tl.program_id(0).to(tl.int64) * S
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, S, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(squares + base + at, mask=at < S, other=0.0)
    restore = side / tl.maximum(tl.sqrt(tl.sum(total, axis=0)), 1e-6)
    before = tl.zeros([BLOCK], tl.float32)
    after = tl.zeros([BLOCK], tl.float32)
    for start in range(0, S, BLOCK):
        at = start + tl.arange(0, BLOCK)
        mean = tl.load(squares + base + at, mask=at < S, other=0.0) * restore * restore / size
        moment = tl.load(second + base + at, mask=at < S, other=0.0)
        moment += rest * (mean - moment)
        tl.store(second + base + at, moment, mask=at < S)
        inverse = tl.rsqrt(tl.maximum(moment, 1e-10))
        before += mean
        after += mean * inverse * inverse
        tl.store(factors + base + at, inverse, mask=at < S)
    old = tl.sqrt(tl.sum(before, axis=0) * size)
    new = tl.sqrt(tl.sum(after, axis=0) * size)
    tl.debug_barrier()
    for start in range(0, S, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inverse = tl.load(factors + base + at, mask=at < S, other=0.0)
        tl.store(factors + base + at, inverse * restore * (old / tl.maximum(new, 1e-10)), mask=at < S)


@triton.jit
def apply(params, x, factors, R, M, N, lr, lr_decay, by_row: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (column < N)
    at = row.to(tl.int64) * N + column
    if by_row:
        factor = tl.load(factors + row, mask=row < R, other=0.0)
    else:
        factor = tl.load(factors + row // M * N + column, mask=inside, other=0.0)
    u = tl.load(x + at, mask=inside, other=0.0) * factor
    p = tl.load(params + at, mask=inside, other=0.0)
    decay = tl.where(u * p >= 0.0, lr_decay * p, 0.0)
    tl.store(params + at, p - (lr * u + decay), mask=inside)


def polar(x, is_tall):
    """Five steps of the polynomial iteration; every sum of a matrix and a product is one call."""
    for step in range(5):
        a = POLAR_EXPRESS[step][0]
        b = POLAR_EXPRESS[step][1]
        c = POLAR_EXPRESS[step][2]
        if is_tall:
            gram = torch.bmm(x.mT, x)
            polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            x = torch.baddbmm(x, x, polynomial, beta=a)
        else:
            gram = torch.bmm(x, x.mT)
            polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def muon_step_forward(params, grads, momentum_buffer, second_moment, lr, momentum, beta2, weight_decay):
    K, M, N = params.shape
    S = max(M, N)
    by_row = 1 if M >= N else 0
    R = K * M
    rows = (triton.cdiv(R, ROWS),)
    tiles = (triton.cdiv(R, ROWS), triton.cdiv(N, BLOCK))
    x = torch.empty_like(params)
    squares = torch.empty((K, M), device=params.device, dtype=torch.float32)
    factors = torch.empty((K, M), device=params.device, dtype=torch.float32)
    accumulate[rows](
        grads, momentum_buffer, x, squares, R, N, momentum, 1.0 - momentum, ROWS=ROWS, BLOCK=BLOCK, num_warps=WARPS
    )
    row_factors[(K,)](squares, factors, M, BLOCK=BLOCK, num_warps=WARPS)
    scale_rows[tiles](x, factors, R, N, ROWS=ROWS, BLOCK=BLOCK, num_warps=WARPS)
    x = polar(x, M > N)
    sums = torch.empty((K, S), device=params.device, dtype=torch.float32)
    scales = torch.empty((K, S), device=params.device, dtype=torch.float32)
    if by_row:
        row_squares[rows](x, sums, R, N, ROWS=ROWS, BLOCK=BLOCK, num_warps=WARPS)
    else:
        column_squares[(K, triton.cdiv(N, 64))](x, sums, M, N, ROWS=32, COLUMNS=64, num_warps=WARPS)
    side = math.sqrt(min(M, N))
    even_out[(K,)](sums, second_moment, scales, S, min(M, N), side, 1.0 - beta2, BLOCK=BLOCK, num_warps=WARPS)
    apply[tiles](
        params,
        x,
        scales,
        R,
        M,
        N,
        lr,
        lr * weight_decay,
        by_row=by_row,
        ROWS=ROWS,
        BLOCK=BLOCK,
        num_warps=WARPS,
    )
