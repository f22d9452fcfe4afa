"""Shared memory of a timed meeting, cut into slots: calls that each have inputs of their own.

Before every window the slots it uses get other values (a random case, its rows rolled by a random number) and their
outputs are poisoned, so that nothing left from an earlier window can pass for work.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from kernelsearch.sandbox.execution import poison
from kernelsearch.sandbox.layout import Layout, lay_out, view
from kernelsearch.sandbox.session import INPUT, OUTPUT, Session
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import TensorSpec
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import Case, make_timed_case

MAXIMUM_SLOTS = 24
REGION_BYTES = 64 << 20
LARGE_BYTES = 32 << 20
BASE_CASES = 2


class Stage:
    """Slots for calls of one workload; `attach` gives them the memory of a session."""

    def __init__(
        self, folder: TargetFolder, workload: Workload, saved: tuple[TensorSpec, ...], rng: np.random.Generator
    ) -> None:
        self.folder, self.workload, self._rng = folder, workload, rng
        self.entry = folder.target.entry(workload.entry)
        self.backward = self.entry.has_backward
        self.layouts = self._lay_out(saved)
        self._bases = [make_timed_case(folder, workload, rng) for _ in range(1 if self._is_large else BASE_CASES)]
        self.slots: list[dict[str, Tensor]] = []
        self.initial: list[dict[str, Tensor]] = []

    @property
    def region_bytes(self) -> int:
        return (self._used // 4096 + 2) * 4096

    def attach(self, session: Session) -> None:
        regions = {INPUT: memoryview(session.inputs), OUTPUT: memoryview(session.outputs)}
        self.slots = [{n: view(regions[p.kind], p) for n, p in layout.places.items()} for layout in self.layouts]
        self.initial = [{n: torch.empty_like(slot[n]) for n in self.entry.updates} for slot in self.slots]

    def detach(self) -> None:
        """Gives up every view of the session's memory."""
        self.slots, self.initial = [], []

    def refresh(self, indices: Iterable[int]) -> None:
        """Other inputs for these slots; their outputs poisoned."""
        for index in indices:
            slot = self.slots[index]
            base = self._bases[int(self._rng.integers(len(self._bases)))]
            fraction = float(self._rng.random())
            values = {**base.inputs, **((base.output_gradients or {}) if self.backward else {})}
            for name, place in self.layouts[index].places.items():
                if name in values:
                    _roll_into(slot[name], values[name], fraction)
                elif place.kind == OUTPUT and place.bytes:
                    poison(slot[name], self._rng)
            for name, kept in self.initial[index].items():
                kept.copy_(slot[name])

    def case(self, index: int) -> Case:
        """What the slot was asked, as the gates see it."""
        slot = self.slots[index]
        inputs = {t.name: slot[t.name] for t in self.entry.inputs} | self.initial[index]
        gradients = {f"d{t.name}": slot[f"d{t.name}"] for t in self.entry.outputs} if self.backward else None
        return Case(self.workload, "timed", inputs, gradients)

    @property
    def _used(self) -> int:
        return max(max(layout.used.values()) for layout in self.layouts)

    @property
    def _is_large(self) -> bool:
        return self._used > LARGE_BYTES

    def _lay_out(self, saved: tuple[TensorSpec, ...]) -> list[Layout]:
        layouts: list[Layout] = []
        after = {INPUT: 0, OUTPUT: 0}
        while len(layouts) < MAXIMUM_SLOTS:
            layout = lay_out(
                self.entry, saved, self.workload.sizes, self.workload.dtype, backward=self.backward, after=after
            )
            if len(layouts) >= 1 and max(layout.used.values()) > REGION_BYTES:
                break
            layouts.append(layout)
            after = layout.used
        return layouts


def _roll_into(sink: Tensor, source: Tensor, fraction: float) -> None:
    """Copies `source` with its rows rolled; tensors with equally many rows stay aligned with each other."""
    if source.dim() == 0 or source.numel() == 0:
        sink.copy_(source)
        return
    width = source.shape[-1] if source.dim() > 1 else 1
    rows, out = source.reshape(-1, width), sink.reshape(-1, width)
    cut = int(fraction * len(rows))
    out[: len(rows) - cut].copy_(rows[cut:])
    out[len(rows) - cut :].copy_(rows[:cut])
