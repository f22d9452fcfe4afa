"""CPU microseconds of a call through dispatch, on a kernel with almost nothing to do, beside stock operators.

    python -m tests.dispatch.overhead

Cases take turns, round by round, in random order: on a shared machine a ratio between runs says nothing. Printed are
the median over rounds with its quartiles, and the paired ratio of the dispatcher's way to the direct one.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from kernelsearch.dispatch import guards
from kernelsearch.dispatch.bind import bind
from kernelsearch.dispatch.store import Store
from tests.dispatch.sample import FOLDER, make_accepted

CALLS, ROUNDS = 300, 61


def call_us(function: Callable[[], object]) -> float:
    started = time.thread_time()
    for _ in range(CALLS):
        function()
    return (time.thread_time() - started) / CALLS * 1e6


def bind_sample() -> dict[str, Callable[..., object]]:
    state = Path(tempfile.mkdtemp())
    store = Store(state, state)
    store.add(make_accepted())
    return bind([FOLDER], store, device="cpu", dtype="float32", admit=lambda a: False, cache_dir=state).ops


def bind_without_direct_way() -> dict[str, Callable[..., object]]:
    """The same calls through the dispatcher, backward too."""
    original = guards._direct_way
    guards._direct_way = lambda *arguments: lambda tensors: None  # type: ignore[assignment]
    try:
        return bind_sample()
    finally:
        guards._direct_way = original


def both(blend: Callable[..., object], leaves: tuple[Tensor, Tensor], index: Tensor, upstream: Tensor) -> object:
    return torch.autograd.grad(blend(*leaves, index, 2.0), leaves, (upstream, upstream))


def make_cases() -> dict[str, Callable[[], float]]:
    x, y, index, ones = torch.ones(1, 4), torch.ones(1, 4), torch.zeros(1, dtype=torch.int64), torch.ones(1, 4)
    xg, yg = x.clone().requires_grad_(), y.clone().requires_grad_()
    p, g, m = torch.ones(4), torch.ones(4), torch.ones(4)
    cases = {}
    for way, ops in (("", bind_sample()), (", dispatcher", bind_without_direct_way())):
        blend, nudge = ops["blend"], ops["nudge"]
        cases |= {
            f"blend forward{way}": partial(call_us, partial(blend, x, y, index, 2.0)),
            f"blend forward+backward{way}": partial(call_us, partial(both, blend, (xg, yg), index, ones)),
            f"nudge in place{way}": partial(call_us, partial(nudge, p, g, m, step=1, lr=0.0)),
        }
    return cases | {
        "F.rms_norm": lambda: call_us(lambda: F.rms_norm(x, (4,))),
        "F.rms_norm forward+backward": lambda: call_us(
            lambda: torch.autograd.grad(F.rms_norm(xg, (4,)), xg, ones)
        ),
    }  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    cases = make_cases()
    taken: dict[str, list[float]] = {name: [] for name in cases}
    order, names = random.Random(0), list(cases)
    for _ in range(ROUNDS):
        for name in order.sample(names, len(names)):
            taken[name].append(cases[name]())
    for name, values in taken.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:36} {middle:6.1f}  [{low:.1f}, {high:.1f}]")
    for name in ("blend forward", "blend forward+backward", "nudge in place"):
        ratios = [a / b for a, b in zip(taken[f"{name}, dispatcher"], taken[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"dispatcher / direct, {name:24} {middle:.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
