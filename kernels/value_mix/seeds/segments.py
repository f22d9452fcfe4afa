"""Gate, look-up and sum in one pass; the table's gradient by segments of the sorted order, without atomics.

Backward: one kernel walks the rows and makes the gate again with its gradients, the second owns columns of one row of
the table and adds the tokens of its segment. The order is a hint: a third looks whether positions rise strictly within
each token and tokens never fall, which only the stable sort does; where they do not, another looks at every token.
gate_weight's gradient is a sum of one matrix a program. Written from the equations in target.py.
"""

import torch
import triton
import triton.language as tl

TUNE = {"ROWS": [16, 8, 32], "COLUMNS": [128, 64, 256], "SEGMENT_ROWS": [8, 4, 16], "WARPS": [4, 2, 8]}


@triton.jit
def gates(gate_input, gate_weight, row, head, N, G, GATES: tl.constexpr):
    """The gate's input, its weight, and its argument, for a tile of rows."""
    at = tl.arange(0, GATES)
    inside = (row < N)[:, None] & (at < G)[None, :]
    given = tl.load(gate_input + row[:, None].to(tl.int64) * G + at[None, :], mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(gate_weight + head * G + at, mask=at < G, other=0.0)
    return given, weight, tl.sum(given * weight[None, :], axis=1)


@triton.jit
def mix(
    v,
    gate_input,
    gate_weight,
    table,
    tokens,
    mixed,
    N,
    K,
    D,
    G,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    GATES: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    head = tl.program_id(1)
    column = tl.arange(0, WIDTH)
    inside = (row < N)[:, None] & (column < D)[None, :]
    _, _, argument = gates(gate_input, gate_weight, row, head, N, G, GATES)
    token = tl.load(tokens + row, mask=row < N, other=0)
    embedded = tl.load(table + token[:, None] * (K * D) + head * D + column[None, :], mask=inside, other=0.0)
    at = row[:, None].to(tl.int64) * (K * D) + head * D + column[None, :]
    value = tl.load(v + at, mask=inside, other=0.0).to(tl.float32)
    gate = 3.0 * tl.sigmoid(argument)
    tl.store(mixed + at, value + gate[:, None] * embedded.to(tl.float32), mask=inside)


@triton.jit
def gate_gradients(
    gate_input,
    gate_weight,
    table,
    tokens,
    dmixed,
    gate,
    dgate_input,
    dweight,
    N,
    K,
    D,
    G,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    GATES: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    at = tl.arange(0, GATES)
    inside = (row < N)[:, None] & (column < D)[None, :]
    token = tl.load(tokens + row, mask=row < N, other=0)
    dinput = tl.zeros([ROWS, GATES], tl.float32)
    for head in range(K):
        given, weight, argument = gates(gate_input, gate_weight, row, head, N, G, GATES)
        s = tl.sigmoid(argument)
        embedded = tl.load(table + token[:, None] * (K * D) + head * D + column[None, :], mask=inside, other=0.0)
        upstream = tl.load(
            dmixed + row[:, None].to(tl.int64) * (K * D) + head * D + column[None, :], mask=inside, other=0.0
        )
        dgate = tl.sum(upstream.to(tl.float32) * embedded.to(tl.float32), axis=1)
        dargument = 3.0 * s * tl.sigmoid(-argument) * dgate
        dinput += dargument[:, None] * weight[None, :]
        tl.store(gate + row.to(tl.int64) * K + head, 3.0 * s, mask=row < N)
        place = (tl.program_id(0) * K + head) * G + at
        tl.store(dweight + place, tl.sum(dargument[:, None] * given, axis=0), mask=at < G)
    where = row[:, None].to(tl.int64) * G + at[None, :]
    tl.store(dgate_input + where, dinput, mask=(row < N)[:, None] & (at < G)[None, :])


@triton.jit
def read_order(tokens, order, at, exists, N):
    """A position of the order, moved into 0..N-1, whether it was there already, and its token."""
    position = tl.load(order + at, mask=exists, other=0)
    moved = tl.minimum(tl.maximum(position, 0), N - 1)
    return moved, moved == position, tl.load(tokens + moved, mask=exists, other=0)


@triton.jit
def find_segments(tokens, order, begins, ends, unsorted, N, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = at < N
    has_before = exists & (at > 0)
    has_after = at + 1 < N
    position, is_position, key = read_order(tokens, order, at, exists, N)
    position0, _, key0 = read_order(tokens, order, at - 1, has_before, N)
    _, _, key1 = read_order(tokens, order, at + 1, has_after, N)
    rises = (key0 < key) | ((key0 == key) & (position0 < position))
    tl.store(begins + key, at, mask=exists & ((at == 0) | (key0 != key)))
    tl.store(ends + key, at + 1, mask=exists & ((at == N - 1) | (key1 != key)))
    wrong = tl.max(((exists & (is_position == 0)) | (has_before & (rises == 0))).to(tl.int32), axis=0)
    tl.atomic_max(unsorted, wrong, mask=wrong > 0)


@triton.jit
def add_segments(
    tokens,
    order,
    begins,
    ends,
    unsorted,
    gate,
    dmixed,
    dtable,
    N,
    K,
    D,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """One row of the table, if the order is the sorted one."""
    if tl.load(unsorted) == 0:
        token = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        end = tl.load(ends + token)
        total = tl.zeros([COLUMNS], tl.float32)
        for start in range(tl.load(begins + token), end, ROWS):
            at = start + tl.arange(0, ROWS)
            position = tl.load(order + at, mask=at < end, other=0)
            inside = (at < end)[:, None] & (column < K * D)[None, :]
            upstream = tl.load(dmixed + position[:, None] * (K * D) + column[None, :], mask=inside, other=0.0)
            factor = tl.load(gate + position[:, None] * K + column[None, :] // D, mask=inside, other=0.0)
            total += tl.sum(factor * upstream.to(tl.float32), axis=0)
        tl.store(dtable + token * (K * D) + column, total, mask=column < K * D)


@triton.jit
def add_all(
    tokens,
    unsorted,
    gate,
    dmixed,
    dtable,
    N,
    K,
    D,
    V,
    TOKENS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Some rows of the table without the order: all tokens, times what says whose each of them is."""
    if tl.load(unsorted) > 0:
        token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        total = tl.zeros([TOKENS, COLUMNS], tl.float32)
        for start in range(0, N, ROWS):
            at = start + tl.arange(0, ROWS)
            key = tl.load(tokens + at, mask=at < N, other=-1)
            is_its = (token[:, None] == key[None, :]).to(tl.float32)
            inside = (at < N)[:, None] & (column < K * D)[None, :]
            place = at[:, None].to(tl.int64)
            upstream = tl.load(dmixed + place * (K * D) + column[None, :], mask=inside, other=0.0).to(tl.float32)
            factor = tl.load(gate + place * K + column[None, :] // D, mask=inside, other=0.0)
            total += tl.dot(is_its, factor * upstream, input_precision="ieee")
        inside = (token < V)[:, None] & (column < K * D)[None, :]
        tl.store(dtable + token[:, None].to(tl.int64) * (K * D) + column[None, :], total, mask=inside)


def value_mix_forward(v, gate_input, gate_weight, table, tokens, order):
    N, K, D = v.shape
    G = gate_input.shape[1]
    mixed = torch.empty_like(v)
    width = triton.next_power_of_2(D)
    count = triton.next_power_of_2(G)
    mix[(triton.cdiv(N, ROWS), K)](
        v,
        gate_input,
        gate_weight,
        table,
        tokens,
        mixed,
        N,
        K,
        D,
        G,
        ROWS=ROWS,
        WIDTH=width,
        GATES=count,
        num_warps=WARPS,
    )
    return mixed


def value_mix_backward(v, gate_input, gate_weight, table, tokens, order, mixed, dmixed):
    N, K, D = v.shape
    G = gate_input.shape[1]
    V, C = table.shape
    programs = triton.cdiv(N, ROWS)
    gate = torch.empty((N, K), device=v.device, dtype=torch.float32)
    dgate_input = torch.empty_like(gate_input)
    dweight = torch.empty((programs, K, G), device=v.device, dtype=torch.float32)
    dtable = torch.empty_like(table)
    begins = torch.zeros((V,), device=v.device, dtype=torch.int32)
    ends = torch.zeros((V,), device=v.device, dtype=torch.int32)
    unsorted = torch.zeros((1,), device=v.device, dtype=torch.int32)
    gate_gradients[(programs,)](
        gate_input,
        gate_weight,
        table,
        tokens,
        dmixed,
        gate,
        dgate_input,
        dweight,
        N,
        K,
        D,
        G,
        ROWS=ROWS,
        WIDTH=triton.next_power_of_2(D),
        GATES=triton.next_power_of_2(G),
        num_warps=WARPS,
    )
    find_segments[(triton.cdiv(N, 256),)](tokens, order, begins, ends, unsorted, N, BLOCK=256)
    add_segments[(V, triton.cdiv(C, COLUMNS))](
        tokens,
        order,
        begins,
        ends,
        unsorted,
        gate,
        dmixed,
        dtable,
        N,
        K,
        D,
        ROWS=SEGMENT_ROWS,
        COLUMNS=COLUMNS,
        num_warps=WARPS,
    )
    add_all[(triton.cdiv(V, 64), triton.cdiv(C, 64))](
        tokens, unsorted, gate, dmixed, dtable, N, K, D, V, TOKENS=64, ROWS=32, COLUMNS=64
    )
    return dgate_input, torch.sum(dweight, dim=0), dtable
