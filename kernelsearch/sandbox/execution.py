"""One candidate answering questions: tensors in, tensors out, every buffer poisoned before and fenced around.

This is the `Run` that gates see. A candidate that writes outside its buffers, leaves an output unwritten, dies or
hangs is found here, whatever question was asked.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from kernelsearch.build.abi import functions
from kernelsearch.sandbox.languages import Language, language_of
from kernelsearch.sandbox.layout import RED_ZONE_BYTES, Binding, Layout, lay_out, view
from kernelsearch.sandbox.session import INPUT, OUTPUT, Call, Session
from kernelsearch.spec.candidate import Candidate
from kernelsearch.spec.record import Status
from kernelsearch.spec.target import Target
from kernelsearch.verify.case import Case
from kernelsearch.verify.run import CandidateFailure, Tensors

CALL_TIMEOUT_S = 10.0  # where the language does not say otherwise
BATCH = 100


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
        language: Language | None = None,
    ) -> None:
        self.target, self.dtype, self._rng = target, dtype, rng
        symbols = [f.trampoline for f in functions(target, candidate.declared)]
        self.bindings = {e.name: Binding(target, candidate.declared, e, symbols) for e in target.entries}
        language = language or language_of(candidate)
        self._timeout_s = language.call_timeout_s or CALL_TIMEOUT_S
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
        return Relay(self, self)(entry, sizes, parameters, inputs, output_gradients, shift=shift)

    def forward(
        self,
        entry: str,
        sizes: Mapping[str, int],
        parameters: Mapping[str, int | float],
        inputs: Tensors,
        *,
        shift: int = 0,
    ) -> dict[str, Tensor]:
        """Outputs, updated inputs and saved tensors."""
        binding = self.bindings[entry]
        layout = lay_out(binding.entry, binding.saved, sizes, self.dtype, backward=False, shift=shift, rng=self._rng)
        names = [name for name, place in layout.places.items() if place.kind == OUTPUT]
        return self._ask(binding.call(layout, sizes, parameters, backward=False), layout, inputs, names, entry)

    def repeat(self, case: Case, times: int, seconds: float) -> None:
        """Makes the case's forward call so often, or for so long; what it leaves is not looked at."""
        w, binding = case.workload, self.bindings[case.workload.entry]
        layout = lay_out(binding.entry, binding.saved, w.sizes, self.dtype, backward=False, rng=self._rng)
        self.fill(layout, case.inputs)
        self.session.load([binding.call(layout, w.sizes, w.parameters, backward=False)] * BATCH, self._timeout_s)
        until = time.monotonic() + seconds
        for _ in range(-(-times // BATCH)):
            if time.monotonic() > until:
                return
            self.session.go(self._timeout_s)

    def backward(
        self,
        entry: str,
        sizes: Mapping[str, int],
        parameters: Mapping[str, int | float],
        inputs: Tensors,
        found: Tensors,
        output_gradients: Tensors,
        *,
        shift: int = 0,
    ) -> dict[str, Tensor]:
        """Input gradients, from what a forward found: other places, and gradients that did not exist while it ran.

        What is not in the declared saved tensors does not survive between the two.
        """
        binding = self.bindings[entry]
        layout = lay_out(binding.entry, binding.saved, sizes, self.dtype, backward=True, shift=shift, rng=self._rng)
        names = [t.name for t in binding.entry.input_gradients()]
        call = binding.call(layout, sizes, parameters, backward=True)
        return self._ask(call, layout, {**inputs, **found, **output_gradients}, names, entry)

    def _ask(self, call: Call, layout: Layout, values: Tensors, names: list[str], entry: str) -> dict[str, Tensor]:
        """Makes one call; only the named outputs may change."""
        self.fill(layout, values)
        fences = self._fences(layout, names)
        self.session.load([call], self._timeout_s)
        self.session.go(self._timeout_s)
        written = {name: self.read(layout, name) for name in names}
        if self._fences(layout, names) != fences:
            self.session.close()
            raise CandidateFailure(Status.INTEGRITY, f"{entry} writes outside its outputs")
        return written

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

    def _fences(self, layout: Layout, writable: list[str]) -> bytes:
        """Every byte of the used outputs region that none of these tensors owns."""
        places = [layout.places[name] for name in writable]
        gaps, at = [], 0
        for start, end in sorted((p.offset, p.offset + p.bytes) for p in places):
            gaps.append(self.session.outputs[at:start])
            at = end
        gaps.append(self.session.outputs[at : layout.used[OUTPUT]])
        return b"".join(gaps)


class Relay:
    """Forward calls in one process and backward calls in another: nothing but declared tensors can pass between."""

    def __init__(self, forward: Execution, backward: Execution) -> None:
        self._forward, self._backward = forward, backward

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
        binding = self._forward.bindings[entry]
        found = self._forward.forward(entry, sizes, parameters, inputs, shift=shift)
        if output_gradients is not None and binding.entry.has_backward:
            found |= self._backward.backward(entry, sizes, parameters, inputs, found, output_gradients, shift=shift)
        saved = {t.name for t in binding.saved}
        return {name: tensor for name, tensor in found.items() if name not in saved}


def poison(tensor: Tensor, rng: np.random.Generator) -> None:
    """Fills with one NaN payload that differs from call to call, so that "not written" shows and cannot be guessed."""
    payload = int(rng.integers(1, 2**6))
    if tensor.dtype == torch.float32:
        tensor.view(torch.int32).fill_(0x7FC00000 | payload << 8 | payload)
    elif tensor.dtype == torch.bfloat16:
        tensor.view(torch.int16).fill_(0x7FC0 | payload)
    else:
        tensor.fill_(-(2**40) - payload)
