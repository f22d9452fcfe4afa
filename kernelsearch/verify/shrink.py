"""From a failing case to the simplest one found that fails the same way: fewer numbers first, then plainer ones.

Greedy and bounded, because a proposer waits for it. What is shown are shapes and values that anybody could have chosen;
neither seeds nor how far from the limit the failure was.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Status
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import Case, make_case, regimes
from kernelsearch.verify.run import CandidateFailure, Tensors

EXTENTS = (1, 2, 3, 4, 8, 16, 17, 32, 33, 64, 65, 128, 129)
SHRINKABLE = (Status.MISMATCH, Status.GRADIENT)
SHOWN_NUMBERS = 16
MAXIMUM_RUNS = 60
BUDGET_S = 1.0


@dataclass(frozen=True)
class Finding:
    """A case that fails: the result that differs, what the candidate gave, what is exact."""

    case: Case
    shift: int
    name: str
    got: Tensor
    exact: Tensor

    def describe(self) -> str:
        """What a proposer may see: the numbers where they are few, else the shape and the kind of values."""
        case = self.case
        shift = f" shift={self.shift}" if self.shift else ""
        shown = [*case.inputs.items(), *(self._gradients().items())]
        if sum(t.numel() for _, t in shown) + self.got.numel() > SHOWN_NUMBERS:
            return f"{case.describe()}{shift}: {self.name}"
        values = " ".join(f"{name}={_numbers(tensor)}" for name, tensor in shown)
        answer = f"{self.name}={_numbers(self.got)}, exact {_numbers(self.exact)}"
        return f"{case.describe_shape()}{shift}: {values} gives {answer}"

    def _gradients(self) -> Tensors:
        is_gradient = self.name.removeprefix("d") in self.case.inputs and self.name not in self.case.inputs
        return (self.case.output_gradients or {}) if is_gradient else {}


Check = Callable[[Case, int], Finding | None]
Simplify = Callable[[Tensor], Tensor]


class Shrinking:
    """The simplest failure so far and what may still be spent on a simpler one."""

    def __init__(self, folder: TargetFolder, check: Check, case: Case, shift: int) -> None:
        self._folder, self._check = folder, check
        self._case, self._shift = case, shift
        self._found: Finding | None = None
        self._runs, self._deadline = MAXIMUM_RUNS, time.monotonic() + BUDGET_S

    def run(self) -> Finding | None:
        """None where no simpler case fails."""
        try:
            self._shrink_shape()
            if self._shift:
                self._try(self._case, 0)
            self._simplify_values()
        except CandidateFailure:
            pass  # a crash or a hang on the way: what was found before it stands
        return self._found

    def _try(self, case: Case, shift: int) -> bool:
        if self._runs <= 0 or time.monotonic() > self._deadline:
            return False
        self._runs -= 1
        found = self._check(case, shift)
        if found is not None:
            self._found, self._case, self._shift = found, case, shift
        return found is not None

    def _shrink_shape(self) -> None:
        """All axes at once, then each on its own; values are drawn anew in the regime that failed."""
        axes = {axis.name: axis for axis in self._folder.target.entry(self._case.workload.entry).axes}
        for extent in EXTENTS[:6]:
            smaller = {a: min(s, max(extent * axes[a].multiple, axes[a].minimum)) for a, s in self._sizes().items()}
            if self._try_sizes(smaller):
                break
        for name, axis in axes.items():
            for extent in sorted({axis.minimum, *(extent * axis.multiple for extent in EXTENTS)}):
                if extent >= self._sizes()[name] or self._try_sizes(self._sizes() | {name: extent}):
                    break

    def _sizes(self) -> dict[str, int]:
        return dict(self._case.workload.sizes)

    def _try_sizes(self, sizes: dict[str, int]) -> bool:
        workload = replace(self._case.workload, sizes=sizes)
        if sizes == self._sizes() or not _is_admitted(self._folder, workload):
            return False
        if self._case.regime not in ("normal", *regimes(self._folder)):  # chosen numbers: nothing draws them again
            return False
        drawn = make_case(self._folder, workload, self._case.regime, np.random.default_rng(0))
        return self._try(drawn, self._shift)

    def _simplify_values(self) -> None:
        """Whole tensors first: zeros, ones, small integers; then single elements where they are few."""
        for plainer in WHOLE:
            names = [n for n, t in self._tensors().items() if t.is_floating_point()]
            if self._try(self._with({name: plainer(self._tensors()[name]) for name in names}), self._shift):
                break
        for name in self._tensors():
            for simplify in ONE:
                value = self._tensors()[name]
                if value.is_floating_point():
                    self._try_value(name, simplify(value))
        for name, value in self._tensors().items():
            for place in range(value.numel() if value.numel() <= SHOWN_NUMBERS else 0):
                self._simplify_element(name, place)

    def _simplify_element(self, name: str, place: int) -> None:
        value = self._tensors()[name]
        if not value.is_floating_point():  # an index has a range of its own
            return
        old = value.reshape(-1)[place].item()
        for plain in (0, 1, round(old)) if np.isfinite(old) else ():
            if old in (0, plain):
                return
            changed = value.clone()
            changed.view(-1)[place] = plain
            if self._try_value(name, changed):
                return

    def _try_value(self, name: str, value: Tensor) -> bool:
        return not torch.equal(value, self._tensors()[name]) and self._try(self._with({name: value}), self._shift)

    def _tensors(self) -> dict[str, Tensor]:
        return {**self._case.inputs, **(self._case.output_gradients or {})}

    def _with(self, changed: Mapping[str, Tensor]) -> Case:
        case = self._case
        inputs = {n: changed.get(n, t) for n, t in case.inputs.items()}
        gradients = case.output_gradients and {n: changed.get(n, t) for n, t in case.output_gradients.items()}
        return Case(case.workload, "simple", inputs, gradients)


def _small_integers(x: Tensor) -> Tensor:
    return (torch.arange(x.numel()) % 3 + 1).to(x.dtype).reshape(x.shape)


WHOLE: tuple[Simplify, ...] = (torch.zeros_like, torch.ones_like, _small_integers)
ONE: tuple[Simplify, ...] = (torch.zeros_like, torch.ones_like, torch.round)


def _is_admitted(folder: TargetFolder, workload: Workload) -> bool:
    axes = folder.target.entry(workload.entry).axes
    return all(axis.admits(workload.sizes[axis.name]) for axis in axes) and folder.target.holds(workload.sizes)


def _numbers(tensor: Tensor) -> str:
    def write(value: object) -> str:
        return f"[{', '.join(map(write, value))}]" if isinstance(value, list) else f"{value:.6g}"

    return write(tensor.tolist())
