"""Triton candidates for row_sum: a right one, and the ways to be wrong that the interpreter must see."""

RIGHT = '''"""One program for a tile of rows."""
import torch
import triton
import triton.language as tl

TUNE = {"ROWS": [16, 32], "WARPS": [4, 8]}


@triton.jit
def sums(x, total, scale, N, D, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    inside = (row < N)[:, None] & (column < D)[None, :]
    value = tl.load(x + row[:, None] * D + column[None, :], mask=inside, other=0.0).to(tl.float32)
    tl.store(total + row, tl.sum(value, axis=1) * scale, mask=row < N)


@triton.jit
def spread(dtotal, dx, scale, N, D, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    inside = (row < N)[:, None] & (column < D)[None, :]
    value = tl.load(dtotal + row, mask=row < N, other=0.0).to(tl.float32) * scale
    tl.store(dx + row[:, None] * D + column[None, :], tl.zeros([ROWS, BLOCK], tl.float32) + value[:, None], mask=inside)


def row_sum_forward(x, scale):
    N, D = x.shape
    total = torch.empty((N,), device=x.device, dtype=x.dtype)
    block = triton.next_power_of_2(D)
    sums[(triton.cdiv(N, ROWS),)](x, total, scale, N, D, ROWS=ROWS, BLOCK=block, num_warps=WARPS)
    return total


def row_sum_backward(x, total, dtotal, scale):
    N, D = x.shape
    dx = torch.empty_like(x)
    block = triton.next_power_of_2(D)
    spread[(triton.cdiv(N, ROWS),)](dtotal, dx, scale, N, D, ROWS=ROWS, BLOCK=block, num_warps=WARPS)
    return dx
'''


def changed(old: str, new: str) -> str:
    assert old in RIGHT
    return RIGHT.replace(old, new)


LOAD = "tl.load(x + row[:, None] * D + column[None, :], mask=inside, other=0.0)"
# By name: the source, and the statuses that may end it.
WRONG = {
    "forgets the scale": (changed("tl.sum(value, axis=1) * scale", "tl.sum(value, axis=1)"), {"MISMATCH", "PROPERTY"}),
    "leaves a row unwritten": (
        changed("mask=row < N)\n\n\n@triton.jit\ndef spread", "mask=row < N - 1)\n\n\n@triton.jit\ndef spread"),
        {"MISMATCH"},
    ),
    "reads past its input": (
        changed(LOAD, "tl.load(x + row[:, None] * D + column[None, :] + 4096, mask=inside, other=0.0)"),
        {"CRASH"},
    ),
    "writes past its output": (changed("tl.store(total + row,", "tl.store(total + 8192 + row,"), {"CRASH"}),
    "returns another shape": (changed("    return total\n", "    return total.view(N, 1)\n"), {"CRASH"}),
}
# A file that does not compile for a GPU, though the interpreter would run it.
UNCOMPILABLE = changed(
    "tl.arange(0, BLOCK)\n    inside = (row < N)[:, None] & (column < D)[None, :]\n    value = tl.load(x",
    "tl.arange(0, BLOCK + 1)\n    inside = (row < N)[:, None] & (column < D)[None, :]\n    value = tl.load(x",
)
TOO_LARGE = '''"""A product of tiles that no multiprocessor has room for."""
import torch
import triton
import triton.language as tl


@triton.jit
def product(x, total, N, D, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    sums = tl.zeros([SIZE, SIZE], tl.float32)
    for start in range(0, N, SIZE):
        a = tl.load(x + (start + at)[:, None] * SIZE + at[None, :])
        b = tl.load(x + (start + at)[None, :] * SIZE + at[:, None])
        sums += tl.dot(a, b)
    tl.store(total + at, tl.sum(sums, axis=1))


def row_sum_forward(x, scale):
    N, D = x.shape
    total = torch.empty((N,), device=x.device, dtype=x.dtype)
    product[(1,)](x, total, N, D, SIZE=256, num_warps=4, num_stages=4)
    return total


def row_sum_backward(x, total, dtotal, scale):
    return torch.empty_like(x)
'''
