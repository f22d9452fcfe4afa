"""One concrete question to a candidate: sizes, parameters and the values of every input."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import Entry
from kernelsearch.spec.workload import Workload

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
        numbers = {**self.workload.sizes, **self.workload.parameters}
        sizes = " ".join(f"{name}={value}" for name, value in numbers.items())
        return f"{self.workload.entry} {self.workload.dtype} {sizes} values={self.regime}"


def make_case(folder: TargetFolder, workload: Workload, regime: str, rng: np.random.Generator) -> Case:
    """Draws the values of `regime` and rounds them to the workload's dtype.

    Output gradients are benign with benign values, else of a kind drawn on its own (per row, ones, zeros, huge, ...).
    """
    entry = folder.target.entry(workload.entry)
    made = folder.module("inputs")
    arrays = made.make(entry.name, workload.sizes, workload.parameters, regime, rng)
    inputs = {t.name: _tensor(arrays[t.name], t.element(workload.dtype), t.shape(workload.sizes)) for t in entry.inputs}
    gradients = None
    if entry.has_backward:
        kind = "normal" if regime == "normal" else str(rng.choice(made.OUTPUT_GRADIENT_REGIMES))
        drawn = made.make_output_gradients(entry.name, workload.sizes, kind, rng)
        gradients = {
            t.name: _tensor(drawn[t.name], t.element(workload.dtype), t.shape(workload.sizes))
            for t in entry.output_gradients()
        }
    return Case(workload, regime, inputs, gradients)


def regimes(folder: TargetFolder) -> tuple[str, ...]:
    return tuple(folder.module("inputs").REGIMES)


def regions(entry: Entry) -> tuple[str, ...]:
    """Names of everything a run returns for `entry`: outputs, updated inputs, input gradients."""
    names = [t.name for t in entry.outputs] + list(entry.updates) + [t.name for t in entry.input_gradients()]
    return tuple(names)


def _tensor(array: np.ndarray, dtype: str, shape: tuple[int, ...]) -> Tensor:  # type: ignore[type-arg]
    tensor = torch.from_numpy(np.ascontiguousarray(array)).to(TORCH_DTYPES[dtype]).reshape(shape)
    return tensor.contiguous()
