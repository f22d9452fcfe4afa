"""One concrete question to a candidate: sizes, parameters and the values of every input."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import Entry
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.run import Tensors

ROW_SHARE, ROW_ELEMENTS = 4, 2**20
TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int64": torch.int64}


@dataclass(frozen=True)
class Case:
    """Inputs and output gradients in the workload's dtype; `regime` names how the values were drawn."""

    workload: Workload
    regime: str
    inputs: Mapping[str, Tensor]
    output_gradients: Mapping[str, Tensor] | None

    def describe(self) -> str:
        """What a proposer may see: shapes, parameters and the kind of values; no seeds."""
        return f"{self.describe_shape()} values={self.regime}"

    def describe_shape(self) -> str:
        numbers = {**self.workload.sizes, **self.workload.parameters}
        sizes = " ".join(f"{name}={value}" for name, value in numbers.items())
        return f"{self.workload.entry} {self.workload.dtype} {sizes}"


def make_case(folder: TargetFolder, workload: Workload, regime: str, rng: np.random.Generator) -> Case:
    """Draws the values of `regime` and rounds them to the workload's dtype.

    Output gradients are benign with benign values, else of a kind drawn on its own (per row, ones, zeros, huge, ...).
    """
    kinds = folder.module("inputs").OUTPUT_GRADIENT_REGIMES
    kind = str(rng.choice(kinds)) if kinds and regime != "normal" else "normal"
    return _draw(folder, workload, regime, kind, rng)


def make_timed_case(folder: TargetFolder, workload: Workload, rng: np.random.Generator) -> Case:
    """Values as a training step has them: what a kernel may skip on other values is not what training gains."""
    regime, kind = folder.module("inputs").TIMED
    return _draw(folder, workload, regime, kind, rng)


def _draw(folder: TargetFolder, workload: Workload, regime: str, kind: str, rng: np.random.Generator) -> Case:
    entry = folder.target.entry(workload.entry)
    made = folder.module("inputs")
    arrays = made.make(entry.name, workload.sizes, workload.parameters, regime, rng)
    inputs = {t.name: _tensor(arrays[t.name], t.element(workload.dtype), t.shape(workload.sizes)) for t in entry.inputs}
    gradients = None
    if entry.has_backward:
        drawn = made.make_output_gradients(entry.name, workload.sizes, kind, rng)
        gradients = {
            t.name: _tensor(drawn[t.name], t.element(workload.dtype), t.shape(workload.sizes))
            for t in entry.output_gradients()
        }
    return Case(workload, regime, inputs, gradients)


def take_rows(
    folder: TargetFolder, case: Case, got: Tensors, rng: np.random.Generator
) -> tuple[Case, dict[str, Tensor]]:
    """Random rows of a case and of its results, where the reference names an axis of independent ones.

    At most a quarter of them, and a million elements of the largest tensor.

    The float64 oracle is many times dearer than the kernel; rows that nobody could predict are as good as all.
    """
    axis, size, count = _row_blocks(folder, case)
    if axis is None:
        return case, dict(got)
    return _narrow(folder, case, got, axis, int(rng.integers(0, size - count + 1)), count)


def split_rows(folder: TargetFolder, case: Case, got: Tensors) -> Iterator[tuple[Case, dict[str, Tensor]]]:
    """All rows, in parts of the size that `take_rows` takes."""
    axis, size, count = _row_blocks(folder, case)
    if axis is None:
        yield case, dict(got)
        return
    for start in range(0, size, count):
        yield _narrow(folder, case, got, axis, start, min(count, size - start))


def _row_blocks(folder: TargetFolder, case: Case) -> tuple[str | None, int, int]:
    """The axis of independent rows, its size, and how many rows the oracle is asked at once."""
    entry, sizes = folder.target.entry(case.workload.entry), case.workload.sizes
    axis = getattr(folder.module("reference"), f"{entry.name}_ROW_AXIS", None)
    if axis is None:
        return None, 1, 1
    largest = max(int(np.prod(t.shape(sizes), dtype=np.int64)) for t in entry.inputs)
    return axis, sizes[axis], max(1, min(-(-sizes[axis] // ROW_SHARE), ROW_ELEMENTS * sizes[axis] // largest))


def _narrow(
    folder: TargetFolder, case: Case, got: Tensors, axis: str, start: int, count: int
) -> tuple[Case, dict[str, Tensor]]:
    entry = folder.target.entry(case.workload.entry)
    specs = (*entry.inputs, *entry.outputs, *entry.output_gradients(), *entry.input_gradients())
    axes = {t.name: t.axes for t in specs}

    def narrow(tensors: Tensors) -> dict[str, Tensor]:
        return {
            n: t.narrow(axes[n].index(axis), start, count).contiguous() if axis in axes.get(n, ()) else t
            for n, t in tensors.items()
        }

    workload = replace(case.workload, sizes={**case.workload.sizes, axis: count})
    gradients = None if case.output_gradients is None else narrow(case.output_gradients)
    return Case(workload, case.regime, narrow(case.inputs), gradients), narrow(got)


def edges(folder: TargetFolder, entry: Entry, dtype: str) -> list[Workload]:
    """The entry's shapes at which tiles begin and end, small ones first."""
    found = [w for w in folder.edges(dtype) if w.entry == entry.name]
    return sorted(found, key=lambda w: int(np.prod(list(w.sizes.values()), dtype=np.float64)))


def regimes(folder: TargetFolder) -> tuple[str, ...]:
    return tuple(folder.module("inputs").REGIMES)


def _tensor(array: np.ndarray, dtype: str, shape: tuple[int, ...]) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array)).to(TORCH_DTYPES[dtype]).reshape(shape)
    return tensor.contiguous()
