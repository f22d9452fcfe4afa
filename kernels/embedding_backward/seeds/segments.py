"""Look-up by rows; the table's gradient by segments of the sorted order; the order by a stable radix sort.

Sort: four bits a pass. A program counts the digits of its tokens, one program turns the counts into places, and each
token goes behind those of its digit that came before it: stable, without atomics.

Gradient: neighbours in the order say where each token's segment begins and ends, and whether the order is sorted at
all. A program owns some columns of one row of the table and adds its segment in the order given. Where the order is not
sorted another kernel walks all of it: right for any list, fast for the sorted one. No atomics on sums, so the same bits
every time. Written from the equations in target.py.
"""

import torch
import triton
import triton.language as tl

TUNE = {"SORT": [512, 256, 1024], "COLUMNS": [256, 64, 128, 512], "ROWS": [8, 4, 16, 32], "WARPS": [4, 2, 8]}
DIGITS = tl.constexpr(16)


@triton.jit
def digits_of(tokens, order, at, N, shift, first: tl.constexpr):
    """Positions of this pass in their present order, and their tokens' digit; 16 where there is none."""
    position = at.to(tl.int64)
    if not first:
        position = tl.load(order + at, mask=at < N, other=0)
    token = tl.load(tokens + position, mask=at < N, other=0)
    return position, tl.where(at < N, (token >> shift) & 15, 16).to(tl.int32)


@triton.jit
def count_digits(tokens, order, counts, N, shift, programs, first: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    _, digit = digits_of(tokens, order, at, N, shift, first)
    is_digit = (digit[:, None] == tl.arange(0, DIGITS)[None, :]).to(tl.int32)
    tl.store(counts + tl.arange(0, DIGITS) * programs + tl.program_id(0), tl.sum(is_digit, axis=0))


@triton.jit
def place_counts(counts, total, BLOCK: tl.constexpr):
    """Counts become the places where their tokens begin: sums of all counts before."""
    before = 0
    for start in range(0, total, BLOCK):
        at = start + tl.arange(0, BLOCK)
        count = tl.load(counts + at, mask=at < total, other=0)
        tl.store(counts + at, before + tl.cumsum(count, axis=0) - count, mask=at < total)
        before += tl.sum(count, axis=0)


@triton.jit
def move(tokens, order, counts, sorted_order, N, shift, programs, first: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    position, digit = digits_of(tokens, order, at, N, shift, first)
    is_digit = (digit[:, None] == tl.arange(0, DIGITS)[None, :]).to(tl.int32)
    begin = tl.load(counts + tl.arange(0, DIGITS) * programs + tl.program_id(0))[None, :]
    place = tl.sum(is_digit * (begin + tl.cumsum(is_digit, axis=0) - 1), axis=1)
    tl.store(sorted_order + place, position, mask=at < N)


@triton.jit
def gather(table, tokens, rows, N, C, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    at = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (row < N) & (at < C)
    token = tl.load(tokens + row, mask=row < N, other=0)
    tl.store(rows + row * C + at, tl.load(table + token * C + at, mask=inside), mask=inside)


@triton.jit
def find_segments(tokens, order, begins, ends, unsorted, N, BLOCK: tl.constexpr):
    """Where each token's segment begins and ends, if the order is sorted; otherwise `unsorted` becomes 1."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < N
    key = tl.load(tokens + tl.load(order + at, mask=inside, other=0), mask=inside, other=0)
    has_before = inside & (at > 0)
    has_after = at + 1 < N
    before = tl.load(tokens + tl.load(order + at - 1, mask=has_before, other=0), mask=has_before, other=-1)
    after = tl.load(tokens + tl.load(order + at + 1, mask=has_after, other=0), mask=has_after, other=-1)
    tl.store(begins + key, at, mask=inside & (before != key))
    tl.store(ends + key, at + 1, mask=inside & (after != key))
    wrong = tl.max((has_before & (before > key)).to(tl.int32), axis=0)
    tl.atomic_max(unsorted, wrong, mask=wrong > 0)


@triton.jit
def add_segments(tokens, order, begins, ends, unsorted, drows, dtable, N, C, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """One row of the table, if the order is sorted."""
    if tl.load(unsorted) == 0:
        token = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        end = tl.load(ends + token)
        total = tl.zeros([COLUMNS], tl.float32)
        for start in range(tl.load(begins + token), end, ROWS):
            at = start + tl.arange(0, ROWS)
            position = tl.load(order + at, mask=at < end, other=0)
            inside = (at < end)[:, None] & (column < C)[None, :]
            rows = tl.load(drows + position[:, None] * C + column[None, :], mask=inside, other=0.0)
            total += tl.sum(rows.to(tl.float32), axis=0)
        tl.store(dtable + token * C + column, total, mask=column < C)


@triton.jit
def add_all(
    tokens,
    order,
    unsorted,
    drows,
    dtable,
    N,
    V,
    C,
    TOKENS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Some rows of the table, if the order is not sorted: the whole list, times what says whose each of it is."""
    if tl.load(unsorted) > 0:
        token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        total = tl.zeros([TOKENS, COLUMNS], tl.float32)
        for start in range(0, N, ROWS):
            at = start + tl.arange(0, ROWS)
            position = tl.load(order + at, mask=at < N, other=0)
            key = tl.load(tokens + position, mask=at < N, other=-1)
            is_its = (token[:, None] == key[None, :]).to(tl.float32)
            inside = (at < N)[:, None] & (column < C)[None, :]
            rows = tl.load(drows + position[:, None] * C + column[None, :], mask=inside, other=0.0)
            total += tl.dot(is_its, rows.to(tl.float32), input_precision="ieee")
        inside = (token < V)[:, None] & (column < C)[None, :]
        tl.store(dtable + token[:, None].to(tl.int64) * C + column[None, :], total, mask=inside)


def token_order_forward(tokens, vocab_size):
    N = tokens.shape[0]
    programs = triton.cdiv(N, SORT)
    counts = torch.empty((16 * programs,), device=tokens.device, dtype=torch.int32)
    order = torch.empty_like(tokens)
    other = torch.empty_like(tokens)
    bits = max(1, (vocab_size - 1).bit_length())
    for shift in range(0, bits, 4):
        first = 1 if shift == 0 else 0
        grid = (programs,)
        count_digits[grid](tokens, other, counts, N, shift, programs, first=first, BLOCK=SORT, num_warps=WARPS)
        place_counts[(1,)](counts, 16 * programs, BLOCK=1024, num_warps=WARPS)
        move[grid](tokens, other, counts, order, N, shift, programs, first=first, BLOCK=SORT, num_warps=WARPS)
        order, other = other, order
    return other


def embedding_forward(table, tokens, order):
    N = tokens.shape[0]
    C = table.shape[1]
    rows = torch.empty((N, C), device=table.device, dtype=table.dtype)
    grid = (triton.cdiv(N, ROWS), triton.cdiv(C, COLUMNS))
    gather[grid](table, tokens, rows, N, C, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=WARPS)
    return rows


def embedding_backward(table, tokens, order, rows, drows):
    N = tokens.shape[0]
    V, C = table.shape
    begins = torch.zeros((V,), device=table.device, dtype=torch.int32)
    ends = torch.zeros((V,), device=table.device, dtype=torch.int32)
    unsorted = torch.zeros((1,), device=table.device, dtype=torch.int32)
    dtable = torch.empty_like(table)
    find_segments[(triton.cdiv(N, SORT),)](tokens, order, begins, ends, unsorted, N, BLOCK=SORT, num_warps=WARPS)
    add_segments[(V, triton.cdiv(C, COLUMNS))](
        tokens, order, begins, ends, unsorted, drows, dtable, N, C, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=WARPS
    )
    add_all[(triton.cdiv(V, 64), triton.cdiv(C, 64))](
        tokens, order, unsorted, drows, dtable, N, V, C, TOKENS=64, ROWS=32, COLUMNS=64
    )
    return dtable
