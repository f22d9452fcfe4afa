"""Kernels for a GPU as torch operators, with the names, schemas and gradients of operators.py.

A Triton kernel is a `torch.library.triton_op`: torch.compile takes it apart and sees every launch, and every operation
of torch's between them. A CUDA C kernel is opaque, with a fake implementation that says shapes. Both run the
candidate's own host functions (build/on_device.py), which take tensors with the contract's axes. Without a GPU
everything here can be traced, and nothing run.
"""

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter as TensorParameter

from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.build.on_device import as_traceable, load_candidate
from kernelsearch.dispatch.call import (
    Call,
    Observe,
    Plan,
    Routine,
    as_result,
    backward_call,
    checked,
    flatten,
    forward_call,
)
from kernelsearch.dispatch.operators import (
    NAMESPACE,
    Launches,
    Operators,
    autograd_formula,
    define,
    free_name,
    observers,
    recorder,
    refuse_updates_with_backward,
)
from kernelsearch.spec import Candidate, Entry, Target, TensorSpec

DEVICE = "cuda"
PYTHON_TYPES = {"int64": int, "float": float}
Functions = Mapping[str, Callable[..., Any]]


class Loaded:
    """One candidate's host functions by name, as they are called and as they are traced."""

    def __init__(self, target: Target, candidate: Candidate, dtype: str) -> None:
        """Raises ContractError for what the lint refuses, EnvironmentMissing where CuPy is needed and missing."""
        lint_host(candidate.source, candidate.language, host_functions(target, candidate.declared))
        self.run: Functions = load_candidate(candidate.source, candidate.language, dict(candidate.tunables), dtype)
        self.traced: Functions | None = as_traceable(self.run) if candidate.language == "triton" else None
        self.dtype, self.digest = dtype, candidate.digest


@cache
def register_loaded(entry: Entry, saved: tuple[TensorSpec, ...], loaded: Loaded) -> Operators:
    """The operators of `entry` for one loaded candidate, registered once."""
    refuse_updates_with_backward(entry)
    library = torch.library.Library(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]
    launches = Launches()
    name = free_name(f"{entry.name}_{loaded.dtype}_{loaded.digest[:8]}")
    kept: list[object] = [library]

    def make(function: str, suffix: str, call: Call, observe: Observe) -> tuple[Callable[..., Any], Routine]:
        routine = checked(call, _launch(call, loaded.run[function], observe))
        if loaded.traced is None:
            return define(library, name + suffix, routine, DEVICE), routine
        kept.append(_visible(name + suffix, routine, loaded.traced[function], launches))
        return getattr(getattr(torch.ops, NAMESPACE), name + suffix).default, routine

    forward_of, backward_of = forward_call(entry, saved, loaded.dtype), backward_call(entry, saved, loaded.dtype)
    observe_forward, observe_backward = observers(launches, forward_of, backward_of)
    forward, routine = make(f"{entry.name}_forward", "", forward_of, observe_forward)
    if not entry.has_backward:
        return Operators(forward, routine, None, launches, kept)
    backward, back = make(f"{entry.name}_backward", "_backward", backward_of, observe_backward)
    keep, differentiate = autograd_formula(entry, len(saved), backward)
    lib = library if loaded.traced is None else None
    torch.library.register_autograd(f"{NAMESPACE}::{name}", differentiate, setup_context=keep, lib=lib)
    record = recorder(entry, len(saved), routine, back, backward, DEVICE)
    return Operators(forward, routine, record, launches, kept)


def _launch(
    call: Call, function: Callable[..., Any], observe: Observe
) -> Callable[[Plan, Sequence[Tensor], Sequence[Any]], list[Tensor]]:
    """What the operator does on the device: count, call the host function, look at what it returns."""
    updated = call.updated

    def launch(plan: Plan, tensors: Sequence[Tensor], numbers: Sequence[Any]) -> list[Tensor]:
        if any(t.device != tensors[0].device or t.device.type != DEVICE for t in tensors):
            raise ValueError(f"kernelsearch operator {call.schema()}: give tensors on one {DEVICE} device")
        finish = observe(tensors, numbers)
        returned = _listed(function(*flatten(call.reads, tensors), *numbers))
        wanted = [(tensors[like].shape if shape is None else shape, dtype) for like, shape, dtype in plan.makes]
        merged = [
            (_merge(shape, len(spec.axes)), dtype) for spec, (shape, dtype) in zip(call.makes, wanted, strict=True)
        ]
        if [(tuple(t.shape), t.dtype) for t in returned] != merged:
            raise RuntimeError(f"kernelsearch operator {call.schema()}: the host function made something else")
        made = [t.contiguous().view(shape) for t, (shape, _) in zip(returned, wanted, strict=True)]
        if updated:
            torch.autograd.graph.increment_version([tensors[index] for index in updated])
        if finish is not None:
            finish(made)
        return made

    return launch


def _merge(shape: Sequence[int], rank: int) -> tuple[int, ...]:
    """The shape in the contract's axes, of which there are `rank`: one axis for those that stand for the first."""
    count = len(shape) - rank + 1
    return tuple(shape) if count == 1 else (math.prod(shape[:count]), *shape[count:])


def _visible(name: str, routine: Routine, traced: Callable[..., Any], launches: Launches) -> object:
    """A triton_op: real tensors take the routine, whatever stands for one in a trace takes `traced`."""
    call, n_tensors = routine.call, len(routine.call.reads)

    def function(*arguments: Any) -> Any:
        if all(type(t) in (Tensor, TensorParameter) for t in arguments[:n_tensors]):
            return routine.run(*arguments)
        launches.traced += 1
        return as_result([t.contiguous() for t in _listed(traced(*arguments))])

    # AOTAutograd's cache knows a graph by operators' names: the candidate's digest is in this one.
    # triton_op reads the schema from a signature, and host functions have no annotations.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    taken = [inspect.Parameter(t.name, kind, annotation=Tensor) for t in call.reads]
    taken += [inspect.Parameter(p.name, kind, annotation=PYTHON_TYPES[p.kind]) for p in call.parameters]
    count = len(call.makes)
    returned: Any = types.GenericAlias(tuple, (Tensor,) * count) if count > 1 else Tensor if count else None
    function.__signature__ = inspect.Signature(taken, return_annotation=returned)  # type: ignore[attr-defined]
    return torch.library.triton_op(f"{NAMESPACE}::{name}", function, mutates_args=call.updates)


def _listed(returned: Any) -> list[Tensor]:
    if returned is None:
        return []
    return list(returned) if isinstance(returned, tuple | list) else [returned]
