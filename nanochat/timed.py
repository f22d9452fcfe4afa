"""Ops that keep time: what each hot path costs in a step, forward and backward.

    {"factory": "nanochat.timed:timed", "argument": {"spans": false}}

The report gives totals since the start, so that two reports bound what lies between. With "spans", the fields that are
None by default (they span others) run their eager functions and are timed; what they span is then not called by itself.
A backward is timed between two identities around its op: the CPU's autograd engine runs the latest forward's nodes
first, one after another, so nothing else comes between them.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from nanochat import ops
from nanochat.ops import Ops

WITHOUT_BACKWARD = ("adamw_step", "muon_step", "pack_documents", "token_order")


@dataclass
class Account:
    calls: int = 0
    forward_s: float = 0.0
    backward_s: float = 0.0
    began: float = field(default=0.0, repr=False)


class _Before(torch.autograd.Function):
    """The identity on an op's inputs; its backward is the last thing of that op's."""

    @staticmethod
    def forward(ctx: Any, account: Account, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.account = account
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        ctx.account.backward_s += time.perf_counter() - ctx.account.began
        return None, *gradients


class _Behind(torch.autograd.Function):
    """The identity on an op's outputs; its backward comes before that op's."""

    @staticmethod
    def forward(ctx: Any, account: Account, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.account = account
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        ctx.account.began = time.perf_counter()
        return None, *gradients


def timed(argument: dict[str, Any] | None) -> tuple[dict[str, Callable[..., Any]], Callable[[], dict[str, Any]]]:
    """(callables by field of Ops, report): every eager op with an account of its own."""
    accounts: defaultdict[str, Account] = defaultdict(Account)
    has_spans = bool((argument or {}).get("spans"))
    chosen = {f.name: getattr(Ops(), f.name) or (getattr(ops, f.name) if has_spans else None) for f in fields(Ops)}
    callables = {name: watch(call, accounts[name], name) for name, call in chosen.items() if call is not None}

    def report() -> dict[str, Any]:
        return {
            name: {"calls": a.calls, "forward_s": a.forward_s, "backward_s": a.backward_s}
            for name, a in accounts.items()
        }

    return callables, report


def watch(call: Callable[..., Any], account: Account, name: str) -> Callable[..., Any]:
    """The op of that name, its calls and seconds added to the account."""
    has_backward = name not in WITHOUT_BACKWARD

    def watched(*args: Any, **options: Any) -> Any:
        if has_backward and torch.is_grad_enabled():
            args = _with_identity(account, args)
        started = time.perf_counter()
        result = call(*args, **options)
        account.forward_s += time.perf_counter() - started
        account.calls += 1
        if not (has_backward and torch.is_grad_enabled()):
            return result
        marked = _Behind.apply(account, *(result if isinstance(result, tuple) else (result,)))  # type: ignore[no-untyped-call]
        return marked if isinstance(result, tuple) else marked[0]

    return watched


def _with_identity(account: Account, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments, those that need a gradient behind one common identity."""
    places = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
    if not places:
        return args
    marked = list(args)
    for i, tensor in zip(places, _Before.apply(account, *(args[i] for i in places)), strict=True):  # type: ignore[no-untyped-call]
        marked[i] = tensor
    return tuple(marked)
