"""One candidate on the GPU answering questions: the `Run` that gates see, on a launcher of its own."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from kernelsearch.build.host import host_functions
from kernelsearch.sandbox.gpu.session import CALL_TIMEOUT_S, GpuSession
from kernelsearch.spec.candidate import Candidate, saved_tensors
from kernelsearch.spec.record import Status
from kernelsearch.spec.target import Entry, Target, TensorSpec
from kernelsearch.verify.case import TORCH_DTYPES
from kernelsearch.verify.run import CandidateFailure, Tensors


class GpuRun:
    """A candidate in a launcher at `place`, "cuda" or, in tests, "cpu"; it answers once it was loaded."""

    def __init__(
        self,
        target: Target,
        candidate: Candidate,
        dtype: str,
        place: str,
        *,
        prefix: tuple[str, ...] = (),
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._target, self._candidate, self._dtype = target, candidate, dtype
        self._passed = host_functions(target, candidate.declared)
        self.session = GpuSession(place, prefix=prefix, timeout_s=timeout_s)

    def load(self) -> None:
        candidate, dtype = self._candidate, self._dtype
        tunables = dict(candidate.tunables)
        self.session.ask(
            "load",
            {"source": candidate.source, "language": candidate.language, "tunables": tunables, "dtype": dtype},
        )

    def __enter__(self) -> "GpuRun":
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
        """`shift` is ignored: torch aligns what it allocates, and kernels are called with what it allocated."""
        described = self._target.entry(entry)
        numbers = {**sizes, **parameters}
        found = self._call(described, "forward", dict(inputs), numbers, sizes)
        if output_gradients is not None and described.has_backward:
            found |= self._call(described, "backward", {**inputs, **found, **output_gradients}, numbers, sizes)
        saved = {t.name for t in self._saved(described)}
        return {name: tensor for name, tensor in found.items() if name not in saved}

    def stage_setting(self, entry: Entry) -> dict[str, dict[str, list[str]]]:
        """By way, which tensors a host function is given and returns, as the launcher's windows want them."""
        ways = ("forward", "backward") if entry.has_backward else ("forward",)
        orders: dict[str, list[str]] = {}
        for way in ways:
            names = {t.name for t in self._given(entry, way)}
            passed = self._passed[f"{entry.name}_{way}"]
            orders[way] = [name for name in passed if name in names]
            orders[f"{way} numbers"] = [name for name in passed if name not in names]
        return {"orders": orders, "results": {way: [t.name for t in self._returned(entry, way)] for way in ways}}

    def _call(
        self, entry: Entry, way: str, known: dict[str, Tensor], numbers: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> dict[str, Tensor]:
        function = f"{entry.name}_{way}"
        given = {t.name: known[t.name] for t in self._given(entry, way)}
        order = [name for name in self._passed[function] if name in given]
        updates = list(entry.updates) if way == "forward" else []
        payload = {
            "function": function,
            "order": order,
            "numbers": {name: numbers[name] for name in self._passed[function] if name not in given},
            "updates": updates,
        }
        count, tensors = self.session.ask("call", payload, given)
        wanted = self._returned(entry, way)
        if count != len(wanted):
            names = ", ".join(t.name for t in wanted)
            raise CandidateFailure(Status.CONTRACT, f"{function} returns {count} values; the contract has ({names})")
        found = {name: tensors[name] for name in updates}
        for index, spec in enumerate(wanted):
            found[spec.name] = self._checked(function, spec, tensors[str(index)], sizes)
        return found

    def _checked(self, function: str, spec: TensorSpec, tensor: Tensor, sizes: Mapping[str, int]) -> Tensor:
        shape, dtype = spec.shape(sizes), TORCH_DTYPES[spec.element(self._dtype)]
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            detail = (
                f"{function}: {spec.name} must be {dtype} of shape {shape}, not {tensor.dtype} {tuple(tensor.shape)}"
            )
            raise CandidateFailure(Status.CONTRACT, detail)
        return tensor if tensor.is_contiguous() else torch.clone(tensor).contiguous()

    def _given(self, entry: Entry, way: str) -> tuple[TensorSpec, ...]:
        if way == "forward":
            return entry.inputs
        return (*entry.inputs, *entry.outputs, *self._saved(entry), *entry.output_gradients())

    def _returned(self, entry: Entry, way: str) -> tuple[TensorSpec, ...]:
        return (*entry.outputs, *self._saved(entry)) if way == "forward" else entry.input_gradients()

    def _saved(self, entry: Entry) -> tuple[TensorSpec, ...]:
        return saved_tensors(self._candidate.declared, self._target, entry.name)
