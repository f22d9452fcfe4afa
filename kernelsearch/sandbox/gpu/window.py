"""Both contenders on the device, timed in turns: more sets of inputs than the cache holds, fresh values every round.

A window calls one side once for each set, forward and backward. The baseline is the target's own, eager, with autograd.
Both are timed in the same way: replayed as a CUDA graph if both can be captured, launched call by call if not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernelsearch.sandbox.gpu.device import CACHES, Device
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.oracle import contract_baseline

MAXIMUM_SETS = 16
SLOPE_WINDOWS = 5
JITTER = {torch.float32: 2.0**-10, torch.bfloat16: 2.0**-4}
CANDIDATE, BASELINE = "candidate", "baseline"


class Windows:
    """One workload staged: sets of inputs on the device, and what each side made of them in its last window."""

    def __init__(
        self,
        device: Device,
        found: dict[str, Any],
        *,
        folder: str,
        workload: dict[str, Any],
        orders: dict[str, list[str]],
        results: dict[str, list[str]],
        tensors: dict[str, Tensor],
    ) -> None:
        """`orders` and `results` name, for forward and backward, the tensors in and out; `tensors` are one case's."""
        self.device, self._found, self._orders, self._results = device, found, orders, results
        self._workload = Workload(**workload)
        target = TargetFolder(Path(folder))
        self._entry = target.target.entry(self._workload.entry)
        self._eager = contract_baseline(target, self._entry)
        self._base = {name: tensor.to(device.place) for name, tensor in tensors.items()}
        size = sum(t.numel() * t.element_size() for t in self._base.values())
        count = min(MAXIMUM_SETS, max(1, -(-CACHES * device.cache_bytes // max(1, size))))
        self.sets = [{n: t.clone() for n, t in self._base.items()} for _ in range(count)]
        self._state = {side: [self._copies(s) for s in self.sets] for side in (CANDIDATE, BASELINE)}
        self._made: dict[str, list[dict[str, Tensor]]] = {CANDIDATE: [{}] * count, BASELINE: [{}] * count}
        self._replays: dict[str, Callable[[], None] | None] = {}
        self.refresh(0)
        captured = {side: device.capture(lambda side=side: self._work(side)) for side in (CANDIDATE, BASELINE)}  # type: ignore[misc]
        self.is_graph = all(c is not None for c in captured.values())
        self._replays = captured if self.is_graph else {}

    def describe(self) -> dict[str, Any]:
        return {"sets": len(self.sets), "is_graph": self.is_graph}

    def refresh(self, seed: int) -> None:
        """Other values in every set: rows rolled, every number moved a little."""
        # Generators of our own: a capture that failed leaves torch's one for the device refusing to draw.
        turn = torch.Generator().manual_seed(seed)
        move = torch.Generator(self.device.place).manual_seed(seed)
        for each in self.sets:
            for name, base in self._base.items():
                if not base.is_floating_point():
                    continue
                moved = base if base.dim() == 0 else base.roll(int(torch.randint(base.shape[0], (), generator=turn)), 0)
                factors = 1 + JITTER[base.dtype] * (torch.rand(base.shape, generator=move, device=base.device) - 0.5)
                each[name].copy_(moved * factors.to(base.dtype))
        self.device.synchronize()

    def window(self, side: str) -> dict[str, float]:
        """Seconds a call, by the device's events and by the host's clock."""
        for state, each in zip(self._state[side], self.sets, strict=True):
            for name in self._entry.updates:
                state[name].copy_(each[name])
        self.device.cool()
        replay = self._replays.get(side)
        seconds, host_s = self.device.time(replay if replay is not None else lambda: self._work(side))
        return {"seconds": seconds / len(self.sets), "host_s": host_s / len(self.sets)}

    def slope(self, side: str) -> dict[str, float]:
        """Seconds by either clock that more windows in a row take than one; results are not to be used after it."""
        work = self._replays.get(side) or (lambda: self._work(side))

        def several() -> None:
            for _ in range(SLOPE_WINDOWS):
                work()

        (one, one_host), (more, more_host) = self.device.time(work), self.device.time(several)
        return {"seconds": more - one, "host_s": more_host - one_host}

    def compare(self) -> dict[str, float]:
        """By result, the largest relative distance between the sides' last windows."""
        worst: dict[str, float] = {}
        for ours, theirs in zip(self._made[CANDIDATE], self._made[BASELINE], strict=True):
            for name, tensor in theirs.items():
                gap = float((ours[name].double() - tensor.double()).norm())
                distance = gap / max(float(tensor.double().norm()), 1e-30)
                # not (distance <= worst): written this way so that NaN stays.
                if not distance <= worst.get(name, 0.0):
                    worst[name] = distance
        return {name: worst.get(name, 0.0) for name in self._made[BASELINE][0]}

    def fetch(self, index: int) -> tuple[None, dict[str, Tensor]]:
        """What one call of the candidate's last window was asked, and its results, for the judge."""
        made = {f"result {n}": t for n, t in self._made[CANDIDATE][index].items()}
        return None, dict(self.sets[index]) | made

    def _copies(self, each: dict[str, Tensor]) -> dict[str, Tensor]:
        """A side's own place for what it updates."""
        return {name: each[name].clone() for name in self._entry.updates}

    def _work(self, side: str) -> None:
        call = self._call_candidate if side == CANDIDATE else self._call_baseline
        made = [call({**e, **s}) | dict(s) for e, s in zip(self.sets, self._state[side], strict=True)]
        self._made[side] = made

    def _call_candidate(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        entry, known = self._entry, dict(tensors)
        results: dict[str, Tensor] = {}
        for way in ("forward", "backward") if entry.has_backward else ("forward",):
            numbers = {n: v for n, v in self._numbers().items() if n in self._orders[f"{way} numbers"]}
            with torch.no_grad():
                returned = self._found[f"{entry.name}_{way}"](*(known[n] for n in self._orders[way]), **numbers)
            listed = [] if returned is None else list(returned) if isinstance(returned, tuple | list) else [returned]
            known |= dict(zip(self._results[way], listed, strict=True))
        for spec in (*entry.outputs, *entry.input_gradients()):
            results[spec.name] = known[spec.name]
        return results

    def _call_baseline(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        entry = self._entry
        leaves = {t.name: tensors[t.name].detach().requires_grad_(t.name in entry.gradients) for t in entry.inputs}
        if not entry.has_backward:
            with torch.no_grad():
                found = self._eager(leaves, dict(self._workload.parameters))
            return {} if entry.updates else found  # what is updated lies in `tensors`
        outputs = self._eager(leaves, dict(self._workload.parameters))
        names = [t.name for t in entry.outputs]
        wanted = [leaves[n] for n in entry.gradients]
        gradients = torch.autograd.grad([outputs[n] for n in names], wanted, [tensors[f"d{n}"] for n in names])
        made = {n: outputs[n].detach() for n in names}
        return made | {f"d{n}": g for n, g in zip(entry.gradients, gradients, strict=True)}

    def _numbers(self) -> dict[str, Any]:
        return {**self._workload.sizes, **self._workload.parameters}
