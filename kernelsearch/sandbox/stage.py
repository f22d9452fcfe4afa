"""Shared memory of a timed meeting, cut into slots: calls that each have inputs of their own.

Before every window the slots it uses get values that no call had before (a case, its rows rolled and every number
jittered), output gradients stay hidden until the forward calls have answered, and outputs are poisoned. There are more
slots than a window uses, and which ones it uses is drawn each time: nobody can work ahead without being seen.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from kernelsearch.sandbox.execution import poison
from kernelsearch.sandbox.layout import Layout, bytes_needed, lay_out, view
from kernelsearch.sandbox.session import INPUT, OUTPUT, Session
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import TensorSpec
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import Case, make_timed_case

MAXIMUM_SLOTS = 48
REGION_BYTES = 96 << 20
LARGE_BYTES = 32 << 20
BASE_CASES = 2
JITTER = {torch.float32: 2.0**-10, torch.bfloat16: 2.0**-4}
JITTER_OFFSETS = 4096


class Stage:
    """Slots for calls of one workload; `attach` gives them the memory of a session."""

    def __init__(
        self, folder: TargetFolder, workload: Workload, saved: tuple[TensorSpec, ...], rng: np.random.Generator
    ) -> None:
        self.folder, self.workload, self._rng = folder, workload, rng
        self.entry = folder.target.entry(workload.entry)
        self.backward = self.entry.has_backward
        self.layouts = self._lay_out(saved)
        is_large = self._used[INPUT] > LARGE_BYTES
        self._bases = [make_timed_case(folder, workload, rng) for _ in range(1 if is_large else BASE_CASES)]
        self._factors = self._draw_factors()
        self.slots: list[dict[str, Tensor]] = []
        self.initial: list[dict[str, Tensor]] = []
        self._gradients: list[dict[str, Tensor]] = []
        self._touched: list[int] = []
        self.is_revealed = False

    @property
    def region_bytes(self) -> int:
        return bytes_needed(Layout(used=self._used))

    @property
    def most_calls(self) -> int:
        """Half of the slots, so that as many others lie beside those of a window; the only one if there is but one."""
        return max(1, len(self.layouts) // 2)

    def attach(self, session: Session) -> None:
        self._outputs = session.outputs
        regions = {INPUT: memoryview(session.inputs), OUTPUT: memoryview(session.outputs)}
        self.slots = [{n: view(regions[p.kind], p) for n, p in layout.places.items()} for layout in self.layouts]
        self.initial = [{n: torch.empty_like(slot[n]) for n in self.entry.updates} for slot in self.slots]
        self._gradients = [{} for _ in self.slots]
        self.refresh(range(len(self.slots)))
        self._gaps = self._find_gaps()
        for start, end in self._gaps:
            session.outputs[start:end] = self._rng.bytes(end - start)
        self._fences = self._read_gaps()

    def detach(self) -> None:
        """Gives up every view of the session's memory."""
        self.slots, self.initial, self._gradients = [], [], []
        del self._outputs

    def draw(self, count: int) -> list[int]:
        """So many slots in random order."""
        return [int(index) for index in self._rng.permutation(len(self.layouts))[:count]]

    def refresh(self, indices: Sequence[int]) -> None:
        """Other inputs for these slots; every slot's outputs poisoned, output gradients drawn but hidden."""
        for index in indices:
            base = self._bases[int(self._rng.integers(len(self._bases)))]
            fraction, offset = float(self._rng.random()), int(self._rng.integers(JITTER_OFFSETS))
            for name, source in base.inputs.items():
                self._vary_into(self.slots[index][name], source, fraction, offset)
            if self.backward:
                for name, source in (base.output_gradients or {}).items():
                    kept = self._gradients[index].setdefault(name, torch.empty_like(source))
                    self._vary_into(kept, source, fraction, offset)
        self._make_ready(indices)

    def refresh_like(self, other: "Stage", indices: Sequence[int], theirs: Sequence[int]) -> None:
        """For these slots the inputs and hidden output gradients that `other` has in its slots `theirs`."""
        for index, there in zip(indices, theirs, strict=True):
            for name in (t.name for t in self.entry.inputs):
                self.slots[index][name].copy_(other.initial[there].get(name, other.slots[there][name]))
            for name, gradient in other._gradients[there].items():
                self._gradients[index].setdefault(name, torch.empty_like(gradient)).copy_(gradient)
        self._make_ready(indices)

    def _make_ready(self, indices: Sequence[int]) -> None:
        for index in indices:
            for name, initial in self.initial[index].items():
                initial.copy_(self.slots[index][name])
        self.hide({*self._touched, *indices})
        self._touched = list(indices)

    def hide(self, indices: Iterable[int]) -> None:
        """Poisons outputs and output gradients, puts updated inputs back: a forward call has everything to do."""
        self.is_revealed = False
        for index in indices:
            slot = self.slots[index]
            for name, initial in self.initial[index].items():
                slot[name].copy_(initial)
            for name in (*self._gradients[index], *self._outputs_of(index)):
                if slot[name].numel():
                    poison(slot[name], self._rng)

    def reveal(self, indices: Iterable[int]) -> None:
        """Writes the output gradients."""
        self.is_revealed = True
        for index in indices:
            for name, gradient in self._gradients[index].items():
                self.slots[index][name].copy_(gradient)

    def find_trespass(self, used: list[int]) -> str | None:
        """What a candidate wrote that was not its to write: between its outputs, or into calls not yet made."""
        if self._read_gaps() != self._fences:
            return "writes outside its outputs"
        for index in set(range(len(self.slots))) - set(used):
            for name in self._outputs_of(index):
                if not bool(self.slots[index][name].isnan().all()):
                    return f"writes {name} of a call that was not made"
        return None

    def case(self, index: int) -> Case:
        """What the slot was asked, as the gates see it."""
        slot = self.slots[index]
        inputs = {t.name: slot[t.name] for t in self.entry.inputs} | self.initial[index]
        return Case(self.workload, "timed", inputs, dict(self._gradients[index]) if self.backward else None)

    def _outputs_of(self, index: int) -> list[str]:
        """Floating-point tensors that calls write anew."""
        places = self.layouts[index].places.items()
        found = [n for n, place in places if place.kind == OUTPUT and n not in self.entry.updates]
        return [n for n in found if self.slots[index][n].is_floating_point()]

    @property
    def _used(self) -> dict[int, int]:
        return self.layouts[-1].used

    def _lay_out(self, saved: tuple[TensorSpec, ...]) -> list[Layout]:
        layouts: list[Layout] = []
        after = {INPUT: 0, OUTPUT: 0}
        w = self.workload
        while len(layouts) < MAXIMUM_SLOTS:
            layout = lay_out(self.entry, saved, w.sizes, w.dtype, backward=self.backward, after=after, rng=self._rng)
            if len(layouts) >= 1 and max(layout.used.values()) > REGION_BYTES:
                break
            layouts.append(layout)
            after = layout.used
        return layouts

    def _draw_factors(self) -> dict[torch.dtype, Tensor]:
        """Numbers near 1, enough for the largest tensor from any offset."""
        sizes: dict[torch.dtype, int] = {}
        for base in self._bases:
            for tensor in (*base.inputs.values(), *(base.output_gradients or {}).values()):
                if tensor.is_floating_point():
                    sizes[tensor.dtype] = max(sizes.get(tensor.dtype, 0), tensor.numel())
        return {
            dtype: (1 + JITTER[dtype] * (2 * torch.from_numpy(self._rng.random(size + JITTER_OFFSETS)) - 1)).to(dtype)
            for dtype, size in sizes.items()
        }

    def _vary_into(self, sink: Tensor, source: Tensor, fraction: float, offset: int) -> None:
        """Copies `source` with its rows rolled and its numbers jittered; zeros stay, integers are only rolled.

        Tensors with equally many rows stay aligned with each other.
        """
        if source.numel() == 0:
            return
        width = source.shape[-1] if source.dim() > 1 else 1
        rows, out = source.reshape(-1, width), sink.reshape(-1, width)
        cut = int(fraction * len(rows))
        halves = ((out[: len(rows) - cut], rows[cut:]), (out[len(rows) - cut :], rows[:cut]))
        for there, here in halves:
            if not source.is_floating_point():
                there.copy_(here)
                continue
            factor = self._factors[source.dtype][offset : offset + here.numel()].reshape(here.shape)
            torch.mul(here, factor, out=there)
            offset += 1

    def _find_gaps(self) -> list[tuple[int, int]]:
        """Every byte of the outputs region that no tensor owns, its unused end too."""
        places = [p for layout in self.layouts for p in layout.places.values() if p.kind == OUTPUT]
        gaps, at = [], 0
        for start, end in sorted((p.offset, p.offset + p.bytes) for p in places):
            gaps.append((at, start))
            at = end
        return [*gaps, (at, len(self._outputs))]

    def _read_gaps(self) -> bytes:
        return b"".join(self._outputs[start:end] for start, end in self._gaps)
