"""Operators on Triton sources, as text: no GPU and no Triton is needed."""

import ast

import pytest

from kernelsearch.scorecard.edits import apply_edit
from kernelsearch.scorecard.mutate import Base, mutants_of
from kernelsearch.scorecard.triton_edits import OPERATORS, find_triton_edits

SOURCE = '''\
import triton
import triton.language as tl


@triton.jit
def row_sum_kernel(x, total, count, N, D, scale, BLOCK: tl.constexpr):
    """Sums of rows."""
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    acc = tl.zeros([BLOCK], dtype=tl.float32)
    for step in range(0, tl.cdiv(D, BLOCK)):
        at = step * BLOCK + columns
        values = tl.load(x + row * D + at, mask=at < D, other=0.0)
        acc += tl.where(values > -1.0, values, 0.0)
    other = tl.dot(acc[:, None], acc[None, :])
    tl.store(total + row, scale * tl.sum(acc, axis=0), mask=row < N)
    tl.atomic_add(count, 1)


def row_sum_forward(x, total, N, D, scale):
    row_sum_kernel[(N,)](x, total, x, N, D, scale, BLOCK=128)
'''
EXPECTED = {
    "mask dropped": "tl.load(x + row * D + at)",
    "fill dropped": "tl.load(x + row * D + at, mask=at < D)",
    "fill changed": "other=-3e+38",
    "where swapped": "tl.where(values > -1.0, 0.0, values)",
    "division rounded down": "range(0, (D) // (BLOCK))",
    "axis changed": "tl.sum(acc, axis=1)",
    "reduction swapped": "tl.max(acc, axis=0)",
    "dtype narrowed": "dtype=tl.bfloat16",
    "product in tf32": "input_precision='tf32'",
    "atomic dropped": "tl.store(count, 1)",
    "relation swapped": "mask=at <= D",
    "arithmetic swapped": "((step * BLOCK) - (columns))",
    "operand dropped": "at = (columns)",
    "constant changed": "range(1,",
    "accumulation dropped": "acc = tl.where(",
    "statement dropped": "        pass\n",
    "loop ends early": "tl.cdiv(D, BLOCK) - 1)",
}


def test_every_operator_has_its_example():
    assert set(EXPECTED) == set(OPERATORS)


@pytest.mark.parametrize("operator", EXPECTED)
def test_an_operator_makes_the_change_its_name_says(operator):
    changed = [apply_edit(SOURCE, e) for e in find_triton_edits(SOURCE) if e.operator == operator]
    assert any(EXPECTED[operator] in text for text in changed), changed


def test_every_mutant_is_python_and_another_program():
    changed = [ast.dump(ast.parse(apply_edit(SOURCE, e))) for e in find_triton_edits(SOURCE)]
    assert changed and ast.dump(ast.parse(SOURCE)) not in changed


def test_the_host_function_is_left_alone():
    host = SOURCE[SOURCE.index("def row_sum_forward") :]
    assert all(apply_edit(SOURCE, e).endswith(host) for e in find_triton_edits(SOURCE))


def test_a_triton_base_has_triton_mutants():
    mutants = mutants_of(Base("row_sum", "plain", SOURCE, "triton"), "bfloat16")
    assert {"mask dropped", "fill changed"} <= {m.operator for m in mutants}
