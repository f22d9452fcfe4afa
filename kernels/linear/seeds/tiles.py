"""The product and its two gradients by one kernel that takes the strides of its operands: nothing is turned round.

Beside the library's products (torch.mm, cuBLAS), which the baseline runs, no gain is expected at shapes that the
library is tuned for. It is a start for what the library cannot do: fusing neighbours into the product, and trying
tiles at odd shapes. Programs take tiles in groups of rows, so that neighbours share columns in the L2 cache. dweight
may have few tiles and has a long sum over rows: then SPLIT programs share a tile, and their float32 parts are added in
the order of the parts, so that the result repeats bitwise. Operands bfloat16 or float32, sums float32.

Axes: N rows, C channels, O outputs. Written from the equations in target.py.
"""

import torch
import triton
import triton.language as tl

TUNE = {
    "ROWS": [128, 64],
    "COLUMNS": [128, 64, 256],
    "DEPTH": [64, 32, 128],
    "GROUP": [8, 4, 16],
    "SPLIT": [4, 1, 2, 8],
    "WARPS": [8, 4],
    "STAGES": [3, 2, 4],
}
ENOUGH_TILES = 132  # an H100's multiprocessors; its head has 1536 tiles, whose parts would be 400 MB


@triton.jit
def product(
    a,
    b,
    out,
    M,
    K,
    N,
    a_row,
    a_depth,
    b_depth,
    b_column,
    part,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
):
    """out = a b over `part` of the depth K; program (i, p) makes tile i of the sum's part p."""
    row_tiles = tl.cdiv(M, ROWS)
    wide = GROUP * tl.cdiv(N, COLUMNS)
    first = tl.program_id(0) // wide * GROUP
    height = tl.minimum(row_tiles - first, GROUP)
    inner = tl.program_id(0) % wide
    row = (first + inner % height) * ROWS + tl.arange(0, ROWS)
    column = inner // height * COLUMNS + tl.arange(0, COLUMNS)
    start = tl.program_id(1) * part
    end = tl.minimum(start + part, K)
    a_at = a + row[:, None].to(tl.int64) * a_row
    b_at = b + column[None, :].to(tl.int64) * b_column
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for depth in range(start, end, DEPTH):
        k = depth + tl.arange(0, DEPTH)
        x = tl.load(a_at + k[None, :].to(tl.int64) * a_depth, mask=(row < M)[:, None] & (k < end)[None, :], other=0.0)
        w = tl.load(
            b_at + k[:, None].to(tl.int64) * b_depth, mask=(column < N)[None, :] & (k < end)[:, None], other=0.0
        )
        total = tl.dot(x, w, total, input_precision="ieee")
    at = (tl.program_id(1).to(tl.int64) * M + row[:, None]) * N + column[None, :]
    tl.store(out + at, total, mask=(row < M)[:, None] & (column < N)[None, :])


@triton.jit
def add_parts(parts, out, numel, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < numel
    total = tl.zeros([BLOCK], tl.float32)
    for index in range(COUNT):
        total += tl.load(parts + index * numel + at, mask=inside, other=0.0)
    tl.store(out + at, total, mask=inside)


def linear_forward(x, weight):
    N, C = x.shape
    O = weight.shape[0]  # noqa: E741 (the contract's axis)
    y = torch.empty((N, O), device=x.device, dtype=x.dtype)
    product[(triton.cdiv(N, ROWS) * triton.cdiv(O, COLUMNS), 1)](
        x,
        weight,
        y,
        N,
        C,
        O,
        C,
        1,
        1,
        C,
        C,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        DEPTH=DEPTH,
        GROUP=GROUP,
        num_warps=WARPS,
        num_stages=STAGES,
    )
    return y


def linear_backward(x, weight, y, dy):
    N, C = x.shape
    O = weight.shape[0]  # noqa: E741 (the contract's axis)
    dx = torch.empty_like(x)
    product[(triton.cdiv(N, ROWS) * triton.cdiv(C, COLUMNS), 1)](
        dy,
        weight,
        dx,
        N,
        O,
        C,
        O,
        1,
        C,
        1,
        O,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        DEPTH=DEPTH,
        GROUP=GROUP,
        num_warps=WARPS,
        num_stages=STAGES,
    )
    dweight = torch.empty_like(weight)
    tiles = triton.cdiv(O, ROWS) * triton.cdiv(C, COLUMNS)
    split = SPLIT if tiles < ENOUGH_TILES else 1
    part = triton.cdiv(triton.cdiv(N, DEPTH), split) * DEPTH
    parts = dweight if split == 1 else torch.empty((split, O, C), device=x.device, dtype=torch.float32)
    product[(tiles, split)](
        dy,
        x,
        parts,
        O,
        N,
        C,
        1,
        O,
        C,
        1,
        part,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        DEPTH=DEPTH,
        GROUP=GROUP,
        num_warps=WARPS,
        num_stages=STAGES,
    )
    if split > 1:
        add_parts[(triton.cdiv(O * C, 2048),)](parts, dweight, O * C, COUNT=split, BLOCK=2048, num_warps=4)
    return dx, dweight
