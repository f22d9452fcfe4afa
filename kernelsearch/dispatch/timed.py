"""What a training step spends in each target: baselines with a stopwatch around them, forward and backward.

A trainer in another process imports it by name, "kernelsearch.dispatch.timed:timed", as it does kernels. Marks around a
call find its backward: the node behind the outputs runs before, the node at the inputs after everything between them,
because autograd takes the nodes that are ready from the last made to the first. So the stopwatch sees the backward of
this call and nothing else, on one device whose calls return when they are done: on a CPU.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernelsearch.spec import TargetFolder, library_path

Clock = Callable[[], float]


@dataclass
class Stopwatch:
    """Seconds and calls of one entry so far."""

    clock: Clock
    forward_s: float = 0.0
    backward_s: float = 0.0
    calls: int = 0

    @property
    def seconds(self) -> float:
        return self.forward_s + self.backward_s


class _Run:
    """One call's backward: when it began."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch
        self.started: float | None = None


def _mark(function: type[torch.autograd.Function], run: _Run, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    marked: tuple[Tensor, ...] = function.apply(run, *tensors)  # type: ignore[no-untyped-call]
    return marked


class _Inputs(torch.autograd.Function):
    """Identity; its backward is the last of the call's, and stops the watch."""

    @staticmethod
    def forward(ctx: Any, run: _Run, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.run = run
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        run = ctx.run
        if run.started is not None:
            run.watch.backward_s += run.watch.clock() - run.started
            run.started = None
        return (None, *gradients)


class _Outputs(torch.autograd.Function):
    """Identity; its backward is the first of the call's, and starts the watch."""

    @staticmethod
    def forward(ctx: Any, run: _Run, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.run = run
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        ctx.run.started = ctx.run.watch.clock()
        return (None, *gradients)


def watch_calls(function: Callable[..., Any], watch: Stopwatch) -> Callable[..., Any]:
    """`function` with its forward and, through autograd, its backward on the watch."""

    def call(*arguments: Any, **parameters: Any) -> Any:
        run = _Run(watch)
        watch.calls += 1
        wanted = [i for i, a in enumerate(arguments) if isinstance(a, Tensor) and a.requires_grad]
        is_differentiable = bool(wanted) and torch.is_grad_enabled()
        given = list(arguments)
        if is_differentiable:
            for index, tensor in zip(wanted, _mark(_Inputs, run, [given[i] for i in wanted]), strict=True):
                given[index] = tensor
        started = watch.clock()
        returned = function(*given, **parameters)
        watch.forward_s += watch.clock() - started
        if not is_differentiable:
            return returned
        marked = _mark(_Outputs, run, returned if isinstance(returned, tuple) else (returned,))
        return marked if isinstance(returned, tuple) else marked[0]

    return call


def timed(argument: Mapping[str, Any]) -> tuple[dict[str, Callable[..., Any]], Callable[[], dict[str, Any]]]:
    """(baselines by entry, report) for {"targets": [names], "library": PATH or null}; it reports seconds by target."""
    library = Path(argument.get("library") or library_path())
    watches: dict[str, list[Stopwatch]] = {}
    ops: dict[str, Callable[..., Any]] = {}
    for name in argument["targets"]:
        folder = TargetFolder(library / name)
        for entry in folder.target.entries:
            watch = Stopwatch(time.perf_counter)
            watches.setdefault(name, []).append(watch)
            ops[entry.name] = watch_calls(getattr(folder.module("baseline"), entry.name), watch)

    def report() -> dict[str, Any]:
        return {
            "seconds": {name: sum(watch.seconds for watch in of) for name, of in watches.items()},
            "calls": {name: sum(watch.calls for watch in of) for name, of in watches.items()},
        }

    return ops, report
