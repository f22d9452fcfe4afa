"""What an imported target's files are made of: oracle, baseline, magnitudes and values, from the problem itself.

The folder keeps the problem's file as it was; target.py declares the contract and an `IMPORTED` that says how the
contract's names are the problem's. The module runs in evaluation mode: in float64 it is the oracle, in the workload's
dtype the baseline. Its parameters and buffers are inputs, drawn anew for every question, so a kernel cannot know them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernelsearch.errors import CorruptState
from kernelsearch.importer.noise import longest_sum, plain_attention, spread
from kernelsearch.importer.problem import Instance, Problem, read_problem
from kernelsearch.importer.shapes import imitate
from kernelsearch.importer.values import draw_gradients, draw_values
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import Axis, Entry, Parameters, Sizes
from kernelsearch.verify.case import TORCH_DTYPES

Tensors = Mapping[str, Tensor]
PROBLEM_FILE = "problem.py"


@dataclass(frozen=True)
class Imported:
    """How a contract's names are the problem's.

    `arguments`: for each argument of forward the input tensor or parameter it is, None where the problem's own value
    stays. `states`: input tensor to the module's parameter or buffer. `axes`: the axes that are constants of the
    problem's file. `settings`: constants bound to another number than the file's. `regimes`: kinds of values on which
    the module is finite; `row_axis`: an axis whose rows do not depend on each other.
    """

    digest: str
    arguments: tuple[str | None, ...]
    states: Mapping[str, str]
    axes: tuple[str, ...]
    regimes: tuple[str, ...]
    settings: Mapping[str, int] = field(default_factory=dict)
    row_axis: str | None = None


@dataclass(frozen=True)
class ImportedTarget:
    """The problem behind one entry; its methods are what reference.py, baseline.py and inputs.py of a target hold."""

    problem: Problem
    imported: Imported
    entry: Entry

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function that the problem was made of."""
        assert self.problem.function is not None, "only a problem made of a function has one"
        found: Callable[..., Any] = self.problem.execute({})[self.problem.function.partition(":")[2]]
        return found

    def oracle(self, inputs: Tensors, parameters: Parameters) -> dict[str, Tensor]:
        """The module in float64."""
        return self._named(self._run(self.sizes(inputs), inputs, parameters, torch.float64))

    def magnitudes(
        self, inputs: Tensors, parameters: Parameters, outputs: Tensors, output_gradients: Tensors | None
    ) -> dict[str, Tensor]:
        return self._spread(inputs, parameters, output_gradients, is_thorough=True)

    def stored_magnitudes(
        self, inputs: Tensors, parameters: Parameters, outputs: Tensors, output_gradients: Tensors | None
    ) -> dict[str, Tensor]:
        """For a kernel that rounds the result of every operation of the module, as eager PyTorch does."""
        return self._spread(inputs, parameters, output_gradients, is_thorough=False)

    def terms(self, sizes: Sizes, parameters: Parameters) -> dict[str, int]:
        longest = _longest_sum(self.problem, tuple(self.settings(sizes).items()))
        return {t.name: longest for t in (*self.entry.outputs, *self.entry.input_gradients())}

    def baseline(self, *tensors: Tensor, **parameters: float) -> Tensor | tuple[Tensor, ...]:
        """The module as PyTorch runs it, in the dtype of its first floating-point input."""
        inputs = {t.name: tensor for t, tensor in zip(self.entry.inputs, tensors, strict=True)}
        scalar = next(inputs[t.name].dtype for t in self.entry.inputs if t.dtype == "scalar")
        outputs = self._run(self.sizes(inputs), inputs, parameters, scalar)
        return outputs if len(outputs) > 1 else outputs[0]

    def make(
        self, entry: str, sizes: Sizes, parameters: Parameters, regime: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Fresh values of every input; where the module is not finite on normal ones, as the problem draws them."""
        regime = "drawn" if regime == "normal" and "normal" not in self.imported.regimes else regime
        instance = self.instantiate(sizes, int(rng.integers(2**31)))
        return draw_values(self.entry, self.arguments(instance), self.states(instance), regime, rng)

    def make_output_gradients(
        self, entry: str, sizes: Sizes, regime: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        return draw_gradients(self.entry, sizes, regime, rng)

    def sizes(self, inputs: Tensors) -> dict[str, int]:
        """The axes' sizes as the tensors have them."""
        pairs = [pair for t in self.entry.inputs for pair in zip(t.axes, inputs[t.name].shape, strict=True)]
        return dict(pairs)

    def settings(self, sizes: Sizes) -> dict[str, int]:
        return {**self.imported.settings, **{name: sizes[name] for name in self.imported.axes}}

    def instantiate(self, sizes: Sizes, seed: int) -> Instance:
        return self.problem.instantiate(self.settings(sizes), seed)

    def arguments(self, instance: Instance) -> dict[str, Tensor]:
        """The tensor arguments of an instance by the contract's names."""
        pairs = zip(self.imported.arguments, instance.arguments, strict=True)
        return {name: value for name, value in pairs if name is not None and isinstance(value, Tensor)}

    def states(self, instance: Instance) -> dict[str, Tensor]:
        found = instance.states()
        return {name: found[qualified] for name, qualified in self.imported.states.items()}

    def _run(self, sizes: Sizes, inputs: Tensors, parameters: Parameters, dtype: torch.dtype) -> tuple[Tensor, ...]:
        prepared = _prepare(self.problem, tuple(self.settings(sizes).items()), dtype)
        for name, qualified in self.imported.states.items():
            # The storage is replaced, not copied into: the baseline pays for no copy, and an LSTM's own list of its
            # weights stays right, which a functional call would leave behind.
            prepared.holders[qualified].data = inputs[name]
        values = [
            self._argument(name, own, inputs, parameters)
            for name, own in zip(self.imported.arguments, prepared.instance.arguments, strict=True)
        ]
        with _computing_in(dtype):
            return Instance(prepared.instance.module, tuple(values)).run()

    def _argument(self, name: str | None, own: Any, inputs: Tensors, parameters: Parameters) -> Any:
        """The contract's value for an argument; integers in the kind that the problem has them in."""
        if name is None:
            return own
        if name in parameters:
            return parameters[name]
        return inputs[name] if own.is_floating_point() else inputs[name].to(own.dtype)

    def _spread(
        self, inputs: Tensors, parameters: Parameters, output_gradients: Tensors | None, *, is_thorough: bool
    ) -> dict[str, Tensor]:
        """Of the outputs and, where output gradients are given, of the input gradients too."""
        sizes = self.sizes(inputs)
        wanted = () if output_gradients is None else self.entry.gradients

        def run() -> tuple[Tensor, ...]:
            if output_gradients is None:
                return self._run(sizes, inputs, parameters, torch.float64)
            with torch.enable_grad():
                leaves = {n: x.detach().requires_grad_(n in wanted) for n, x in inputs.items()}
                outputs = self._run(sizes, leaves, parameters, torch.float64)
                towards = [output_gradients[f"d{t.name}"] for t in self.entry.outputs]
                found = torch.autograd.grad(outputs, [leaves[n] for n in wanted], towards)
            return (*(output.detach() for output in outputs), *found)

        names = [t.name for t in self.entry.outputs] + [f"d{n}" for n in wanted]
        return dict(zip(names, spread(run, run(), is_thorough=is_thorough), strict=True))

    def _named(self, outputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {t.name: output for t, output in zip(self.entry.outputs, outputs, strict=True)}


def open_imported(folder: Path) -> ImportedTarget:
    """The imported target in `folder`; raises CorruptState if its problem is not the one that was imported."""
    module = TargetFolder(folder).module("target")
    problem = read_problem(folder / PROBLEM_FILE)
    if problem.digest != module.IMPORTED.digest:
        raise CorruptState(f"{folder / PROBLEM_FILE}: is not the file that was imported; import it again to use it")
    return ImportedTarget(problem, module.IMPORTED, module.TARGET.entries[0])


def make_rows_property(target: ImportedTarget) -> tuple[Callable[..., None], ...]:
    """The relation that rows along `row_axis` do not depend on each other, bitwise; none without such an axis."""
    axis = target.imported.row_axis
    if axis is None:
        return ()
    with_rows = [t for t in target.entry.inputs if axis in t.axes]

    def rows_are_independent(run: Callable[..., dict[str, Tensor]], dtype: str, rng: np.random.Generator) -> None:
        for size in (3, 33):
            sizes = {a.name: size if a.name == axis else _near(a, 17) for a in target.entry.axes}
            parameters: dict[str, float] = {}
            drawn = [target.make(target.entry.name, sizes, parameters, "normal", rng) for _ in range(2)]
            one, other = ({t.name: _tensor(d[t.name], t.element(dtype)) for t in target.entry.inputs} for d in drawn)
            row = int(rng.integers(sizes[axis]))
            mixed = dict(one)
            for t in with_rows:
                mixed[t.name] = other[t.name].clone()
                place = (slice(None),) * t.axes.index(axis) + (row,)
                mixed[t.name][place] = one[t.name][place]
            before, after = (run(target.entry.name, sizes, parameters, values) for values in (one, mixed))
            for t in target.entry.outputs:
                at = t.axes.index(axis)
                same = torch.equal(before[t.name].select(at, row), after[t.name].select(at, row))
                assert same, f"{t.name} of row {row} of {axis} changes when other rows change, sizes={sizes}"

    return () if target.entry.parameters else (rows_are_independent,)


def _near(axis: Axis, size: int) -> int:
    """An extent that the axis admits, at or above `size` where it can be."""
    return min(max(axis.multiple * -(-size // axis.multiple), axis.minimum), axis.maximum)


def _tensor(array: np.ndarray, dtype: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(TORCH_DTYPES[dtype])


@contextmanager
def _computing_in(dtype: torch.dtype) -> Iterator[None]:
    """Tensors that forward makes itself get the dtype too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with plain_attention() if dtype == torch.float64 else nullcontext():
            yield
    finally:
        torch.set_default_dtype(before)


@dataclass(frozen=True)
class _Prepared:
    """An instance, and by qualified name the parameters and buffers whose storage every run replaces."""

    instance: Instance
    holders: Mapping[str, Tensor]


@lru_cache(maxsize=8)
def _prepare(problem: Problem, settings: tuple[tuple[str, int], ...], dtype: torch.dtype) -> _Prepared:
    instance = problem.instantiate(dict(settings), seed=0)
    module = instance.module.to(dtype)
    return _Prepared(Instance(module, instance.arguments), dict([*module.named_parameters(), *module.named_buffers()]))


def _run_both_ways(instance: Instance, gradients: tuple[str, ...]) -> None:
    """Forward and, for these arguments, backward."""
    for name, argument in zip(instance.argument_names(), instance.arguments, strict=True):
        if name in gradients:
            argument.requires_grad_()
    outputs = instance.run()
    if gradients:
        wanted = [x for x in instance.arguments if isinstance(x, Tensor) and x.requires_grad]
        torch.autograd.grad(outputs, wanted, [torch.ones_like(o) for o in outputs])


@lru_cache(maxsize=256)
def _longest_sum(problem: Problem, settings: tuple[tuple[str, int], ...]) -> int:
    with imitate():
        instance = problem.instantiate(dict(settings), seed=0)
        return longest_sum(lambda: _run_both_ways(instance, problem.gradients))
