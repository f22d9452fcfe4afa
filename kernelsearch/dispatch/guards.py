"""A kernel behind its guards: what stands between a call of training and a call of the kernel.

Two ways lead through. The long one asks every guard, makes dense copies and goes through torch's dispatcher. The direct
one, for tensors as the kernel wants them and nobody watching, finds by their shapes a plan that was checked before.

One call costs 11 CPU microseconds forward, 70 forward and backward (three inputs, two outputs), 7 in place, kernel of
four elements included; F.rms_norm costs 10 and 85. Through the dispatcher, backward too, the same calls take 2.1, 1.7
and 1.9 times as long, hence `_direct_way`. Measured by `python -m tests.dispatch.overhead` on one core of a shared AMD
EPYC, torch 2.13.0, 2026-11-23: the least seen, as others were at work.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kernelsearch.dispatch.call import (
    REMEMBERED_SHAPES,
    Plan,
    Shapes,
    flatten,
    forward_call,
    is_observed,
    lead,
    merge_leading,
    plain_shapes,
)
from kernelsearch.dispatch.domain import shape_refusal, tensor_refusal, tensor_rules
from kernelsearch.dispatch.operators import Operators
from kernelsearch.dispatch.shadow import Watched
from kernelsearch.dispatch.store import Accepted
from kernelsearch.errors import OutsideDomain
from kernelsearch.spec import Entry, TargetFolder

STOPPED = "stopped by shadow mode"


def guarded(
    folder: TargetFolder, accepted: Accepted, entry: Entry, operators: Operators, watched: Watched | None
) -> Callable[..., Any]:
    """The kernel behind its guards: contiguous copies where needed, no saved tensors in the result.

    Raises OutsideDomain before anything has been written.
    """
    call = forward_call(entry, (), accepted.dtype)
    refuse_tensors = tensor_refusal(tensor_rules(entry, call), accepted.device)
    domain = accepted.verdict.domain[entry.name]
    merges_leading = entry.name in getattr(folder.module("op"), "LEADING", ())
    refuse_shapes = shape_refusal(entry, call, domain, folder.target.constraints, merges_leading=merges_leading)
    remembered = functools.lru_cache(maxsize=REMEMBERED_SHAPES)(refuse_shapes)
    find_plan = _direct_way(entry, operators, refuse_shapes, accepted.device)
    names, n_outputs = tuple(p.name for p in entry.parameters), len(entry.outputs)
    is_compiling = torch.compiler.is_compiling

    def admit(tensors: Sequence[Tensor]) -> list[Tensor]:
        reason = refuse_tensors(tensors)
        if reason is None:
            shapes = tuple([tensor.shape for tensor in tensors])
            reason = refuse_shapes(shapes) if is_compiling() else remembered(shapes)
        if watched is not None and watched.is_stopped:
            reason = STOPPED
        if reason is not None:
            raise OutsideDomain(reason)
        return [tensor.contiguous() for tensor in flatten(entry.inputs, tensors)]

    def kernel(*tensors: Tensor, **parameters: int | float) -> Any:
        numbers = [parameters[name] for name in names]
        plan = None if is_compiling() else find_plan(tensors)
        if plan is not None and (watched is None or not watched.is_stopped):
            result = operators.launch(plan, tensors, numbers)
        else:
            dense = admit(tensors)
            plan = None if is_compiling() else find_plan(dense)
            result = operators.forward(*dense, *numbers) if plan is None else operators.launch(plan, dense, numbers)
            result = _unflatten(entry, tensors, result)
        if n_outputs == 0:
            return None
        if not isinstance(result, tuple):
            return result
        return result[0] if n_outputs == 1 else result[:n_outputs]

    return kernel


def _unflatten(entry: Entry, tensors: Sequence[Tensor], result: Any) -> Any:
    """The outputs with the axes that the call's tensors lead with; what is saved stays as it is."""
    _, leading, _ = merge_leading(entry.inputs, tuple([tensor.shape for tensor in tensors]))
    if leading is None or not entry.outputs:
        return result
    made = result if isinstance(result, tuple) else (result,)
    outputs = [t.view(lead(spec, t.shape, leading)) for spec, t in zip(entry.outputs, made, strict=False)]
    return tuple(outputs) if len(outputs) > 1 else outputs[0]


def _direct_way(
    entry: Entry, operators: Operators, refuse_shapes: Callable[[Shapes], str | None], device: str
) -> Callable[[Sequence[Tensor]], Plan | None]:
    """A function from a call's tensors to the plan of the direct way, or None where the call must take the long one.

    The plan is that of shapes inside the domain: whoever holds one has nothing left to ask about them.
    """
    routine = operators.routine
    shapes_of = plain_shapes(routine.call, device)
    constant = [i for i, tensor in enumerate(entry.inputs) if tensor.name not in entry.gradients]

    @functools.lru_cache(maxsize=REMEMBERED_SHAPES)
    def plan_inside_domain(shapes: Shapes) -> Plan | None:
        return routine.plan(shapes) if refuse_shapes(shapes) is None else None

    def find_plan(tensors: Sequence[Tensor]) -> Plan | None:
        shapes = None if is_observed() else shapes_of(tensors)
        if shapes is None:
            return None
        if torch.is_grad_enabled():
            for index in constant:
                if tensors[index].requires_grad:
                    return None
        return plan_inside_domain(shapes)

    return find_plan
