"""One candidate answering questions: tensors in, tensors out, every buffer poisoned before and fenced around.

This is the `Run` that gates see. A candidate that writes outside its buffers, leaves an output unwritten, dies or
hangs is found here, whatever question was asked.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from kernelsearch.build.abi import functions
from kernelsearch.sandbox.languages import language_of
from kernelsearch.sandbox.layout import RED_ZONE_BYTES, Binding, Layout, lay_out, view
from kernelsearch.sandbox.session import INPUT, OUTPUT, Session
from kernelsearch.spec.candidate import Candidate
from kernelsearch.spec.record import Status
from kernelsearch.spec.target import Target
from kernelsearch.verify.run import CandidateFailure, Tensors

CALL_TIMEOUT_S = 10.0


class Execution:
    """A candidate in a runner of its own, with regions for at most the given bytes."""

    def __init__(
        self,
        target: Target,
        candidate: Candidate,
        dtype: str,
        *,
        region_bytes: int,
        cache_dir: Path,
        threads: int,
        rng: np.random.Generator,
    ) -> None:
        self.target, self.dtype, self._rng = target, dtype, rng
        symbols = [f.trampoline for f in functions(target, candidate.source)]
        self.bindings = {e.name: Binding(target, candidate.source, e, symbols) for e in target.entries}
        language = language_of(candidate)
        self.session = Session(
            language.command(cache_dir),
            language.artifact(target, candidate, dtype, cache_dir),
            symbols,
            region_bytes=region_bytes,
            threads=threads,
        )

    def __enter__(self) -> "Execution":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.session.close()

    def __call__(
        self,
        entry: str,
        sizes: Mapping[str, int],
        parameters: Mapping[str, int | float],
        inputs: Tensors,
        output_gradients: Tensors | None = None,
        *,
        shift: int = 0,
    ) -> dict[str, Tensor]:
        binding = self.bindings[entry]
        backward = output_gradients is not None and binding.entry.has_backward
        layout = lay_out(binding.entry, binding.saved, sizes, self.dtype, backward=backward, shift=shift)
        self.fill(layout, {**inputs, **(output_gradients or {})})
        fences = self._fences(layout)
        self.session.load(binding.calls(layout, sizes, parameters, backward=backward), CALL_TIMEOUT_S)
        self.session.go(CALL_TIMEOUT_S)
        written = {name: self.read(layout, name) for name, place in layout.places.items() if place.kind == OUTPUT}
        self._check_fences(layout, fences, binding.entry.name)
        saved = {t.name for t in binding.saved}
        return {name: tensor for name, tensor in written.items() if name not in saved}

    def fill(self, layout: Layout, values: Tensors) -> None:
        """Writes the given tensors; poisons every other output with random NaNs and all red zones with noise."""
        for kind, region in ((INPUT, self.session.inputs), (OUTPUT, self.session.outputs)):
            for place in layout.places.values():
                if place.kind != kind:
                    continue
                for start in (place.offset - RED_ZONE_BYTES, place.offset + place.bytes):
                    start = max(start, 0)
                    region[start : start + RED_ZONE_BYTES] = self._rng.bytes(RED_ZONE_BYTES)
            for name, place in layout.places.items():
                if place.kind == kind and place.bytes:
                    target = view(memoryview(region), place)
                    if name in values:
                        target.copy_(values[name])
                    else:
                        poison(target, self._rng)

    def read(self, layout: Layout, name: str) -> Tensor:
        """A private copy of an output."""
        place = layout.places[name]
        return view(memoryview(self.session.outputs), place).clone().reshape(place.shape)

    def _fences(self, layout: Layout) -> bytes:
        return b"".join(self._gaps(layout))

    def _check_fences(self, layout: Layout, before: bytes, entry: str) -> None:
        if b"".join(self._gaps(layout)) != before:
            self.session.close()
            raise CandidateFailure(Status.INTEGRITY, f"{entry} writes outside its outputs")

    def _gaps(self, layout: Layout) -> list[bytes]:
        """Every byte of the used outputs region that no tensor owns."""
        owned = sorted((p.offset, p.offset + p.bytes) for p in layout.places.values() if p.kind == OUTPUT)
        gaps, at = [], 0
        for start, end in owned:
            gaps.append(self.session.outputs[at:start])
            at = end
        gaps.append(self.session.outputs[at : layout.used[OUTPUT]])
        return gaps


def poison(tensor: Tensor, rng: np.random.Generator) -> None:
    """Fills with one NaN payload that differs from call to call, so that "not written" shows and cannot be guessed."""
    payload = int(rng.integers(1, 2**6))
    if tensor.dtype == torch.float32:
        tensor.view(torch.int32).fill_(0x7FC00000 | payload << 8 | payload)
    elif tensor.dtype == torch.bfloat16:
        tensor.view(torch.int16).fill_(0x7FC0 | payload)
    else:
        tensor.fill_(-(2**40) - payload)


def region_bytes(entries_and_sizes: list[Layout]) -> int:
    """Enough for the largest of these layouts, in whole pages."""
    need = max(max(layout.used.values()) for layout in entries_and_sizes)
    return (need // 4096 + 2) * 4096
