"""The elementwise steps ride on the products before them; the other four products are the library's.

Forward: input fc^T leaves the positive part and its square together, so that nothing is read again between the two
products. Backward: dout proj leaves the gradient of h and, because it reads the positive part for the slope anyway,
the square again: only one N x F tensor is kept between the passes. Sums float32, operands and what is stored in the
tensors' dtype. Programs take tiles in groups of rows, so that neighbours share their columns in the L2 cache.

Axes: N rows, C width, F features. Written from the equations in target.py.
"""

import torch
import triton
import triton.language as tl

TUNE = {
    "ROWS": [128, 64],
    "COLUMNS": [128, 64, 256],
    "DEPTH": [64, 32, 128],
    "GROUP": [8, 4, 16],
    "WARPS": [8, 4],
    "STAGES": [3, 2, 4],
}
SAVES = {"positive": ("scalar", "N", "F")}


@triton.jit
def tile_of_program(N, F, ROWS: tl.constexpr, COLUMNS: tl.constexpr, GROUP: tl.constexpr):
    """The rows and columns of this program's tile, walked in groups of GROUP tiles of rows."""
    row_tiles = tl.cdiv(N, ROWS)
    wide = GROUP * tl.cdiv(F, COLUMNS)
    first = tl.program_id(0) // wide * GROUP
    height = tl.minimum(row_tiles - first, GROUP)
    inner = tl.program_id(0) % wide
    row = (first + inner % height) * ROWS + tl.arange(0, ROWS)
    column = inner // height * COLUMNS + tl.arange(0, COLUMNS)
    return row, column


@triton.jit
def hidden(
    x,
    fc,
    positive,
    squared,
    N,
    C,
    F,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
):
    row, column = tile_of_program(N, F, ROWS, COLUMNS, GROUP)
    inner = tl.arange(0, DEPTH)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, C, DEPTH):
        k = start + inner
        a = tl.load(
            x + row[:, None].to(tl.int64) * C + k[None, :], mask=(row < N)[:, None] & (k < C)[None, :], other=0.0
        )
        b = tl.load(
            fc + column[None, :].to(tl.int64) * C + k[:, None], mask=(column < F)[None, :] & (k < C)[:, None], other=0.0
        )
        total = tl.dot(a, b, total, input_precision="ieee")
    h = tl.maximum(total, 0.0).to(positive.dtype.element_ty)
    at = row[:, None].to(tl.int64) * F + column[None, :]
    inside = (row < N)[:, None] & (column < F)[None, :]
    tl.store(positive + at, h, mask=inside)
    tl.store(squared + at, h.to(tl.float32) * h.to(tl.float32), mask=inside)


@triton.jit
def hidden_gradient(
    dout,
    proj,
    positive,
    dhidden,
    squared,
    N,
    C,
    F,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
):
    row, column = tile_of_program(N, F, ROWS, COLUMNS, GROUP)
    inner = tl.arange(0, DEPTH)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, C, DEPTH):
        k = start + inner
        a = tl.load(
            dout + row[:, None].to(tl.int64) * C + k[None, :], mask=(row < N)[:, None] & (k < C)[None, :], other=0.0
        )
        b = tl.load(
            proj + k[:, None].to(tl.int64) * F + column[None, :],
            mask=(column < F)[None, :] & (k < C)[:, None],
            other=0.0,
        )
        total = tl.dot(a, b, total, input_precision="ieee")
    at = row[:, None].to(tl.int64) * F + column[None, :]
    inside = (row < N)[:, None] & (column < F)[None, :]
    h = tl.load(positive + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(dhidden + at, 2.0 * h * total, mask=inside)
    tl.store(squared + at, h * h, mask=inside)


def relu2_mlp_forward(input, fc, proj):  # noqa: A002 (the contract's name)
    N, C = input.shape
    F = fc.shape[0]
    positive = torch.empty((N, F), device=input.device, dtype=input.dtype)
    squared = torch.empty_like(positive)
    hidden[(triton.cdiv(N, ROWS) * triton.cdiv(F, COLUMNS),)](
        input,
        fc,
        positive,
        squared,
        N,
        C,
        F,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        DEPTH=DEPTH,
        GROUP=GROUP,
        num_warps=WARPS,
        num_stages=STAGES,
    )
    return torch.mm(squared, proj.t()), positive


def relu2_mlp_backward(input, fc, proj, projected, positive, dprojected):  # noqa: A002 (the contract's name)
    N, C = input.shape
    F = fc.shape[0]
    dhidden = torch.empty_like(positive)
    squared = torch.empty_like(positive)
    hidden_gradient[(triton.cdiv(N, ROWS) * triton.cdiv(F, COLUMNS),)](
        dprojected,
        proj,
        positive,
        dhidden,
        squared,
        N,
        C,
        F,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        DEPTH=DEPTH,
        GROUP=GROUP,
        num_warps=WARPS,
        num_stages=STAGES,
    )
    return torch.mm(dhidden, fc), torch.mm(dhidden.t(), input), torch.mm(dprojected.t(), squared)
