"""Where a call's tensors lie in the two shared regions, with random red zones around each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kernelsearch.build.abi import Function, backward_function, forward_function
from kernelsearch.sandbox.session import INPUT, NUMBER, OUTPUT, Argument, Call
from kernelsearch.spec.candidate import saved_tensors
from kernelsearch.spec.target import DTYPES, Entry, Target, TensorSpec
from kernelsearch.verify.case import TORCH_DTYPES

ALIGNMENT = 64
RED_ZONE_BYTES = 128
LARGEST_GAP = 2048


@dataclass(frozen=True)
class Place:
    """A tensor's region, byte offset, shape and dtype."""

    kind: int
    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * DTYPES[self.dtype]


@dataclass
class Layout:
    """Places by tensor name for one call of one entry, and how far each region is used."""

    places: dict[str, Place] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=lambda: {INPUT: 0, OUTPUT: 0})

    def put(self, spec: TensorSpec, kind: int, sizes: Mapping[str, int], scalar: str, shift: int, gap: int = 0) -> None:
        dtype = spec.element(scalar)
        start = self.used[kind] + RED_ZONE_BYTES + gap
        offset = -(-start // ALIGNMENT) * ALIGNMENT + shift * DTYPES[dtype]
        place = Place(kind, offset, spec.shape(sizes), dtype)
        self.places[spec.name] = place
        self.used[kind] = offset + place.bytes + RED_ZONE_BYTES


def lay_out(
    entry: Entry,
    saved: tuple[TensorSpec, ...],
    sizes: Mapping[str, int],
    scalar: str,
    *,
    backward: bool,
    shift: int = 0,
    after: Mapping[int, int] | None = None,
    rng: np.random.Generator | None = None,
) -> Layout:
    """A layout that begins where `after` says both regions are free.

    With `rng`, gaps between tensors are random: nobody knows where another tensor lies, nor the judge by the address.
    """
    layout = Layout(used=dict(after or {INPUT: 0, OUTPUT: 0}))
    kinds = [(spec, OUTPUT if spec.name in entry.updates else INPUT) for spec in entry.inputs]
    kinds += [(spec, OUTPUT) for spec in (*entry.outputs, *saved)]
    if backward:
        kinds += [(spec, INPUT) for spec in entry.output_gradients()]
        kinds += [(spec, OUTPUT) for spec in entry.input_gradients()]
    for spec, kind in kinds:
        gap = 0 if rng is None else ALIGNMENT * int(rng.integers(0, LARGEST_GAP // ALIGNMENT))
        layout.put(spec, kind, sizes, scalar, shift, gap)
    return layout


def bytes_needed(layout: Layout) -> int:
    """Of each region, in whole pages, for this layout with any gaps."""
    return (max(layout.used.values()) + LARGEST_GAP * len(layout.places)) // 4096 * 4096 + 2 * 4096


class Binding:
    """The functions of one candidate's entry and how a layout becomes calls of them."""

    def __init__(self, target: Target, source: str, entry: Entry, symbols: list[str]) -> None:
        self.entry = entry
        self.saved = saved_tensors(source, target, entry.name)
        self._functions = [forward_function(entry, self.saved)]
        if entry.has_backward:
            self._functions.append(backward_function(entry, self.saved))
        self._indices = [symbols.index(f.trampoline) for f in self._functions]

    def call(
        self, layout: Layout, sizes: Mapping[str, int], parameters: Mapping[str, int | float], *, backward: bool
    ) -> Call:
        """The forward call, or the backward call, on the tensors of a layout."""
        function, index = (self._functions[int(backward)], self._indices[int(backward)])
        return Call(index, _arguments(function, layout, sizes, parameters))


def view(region: memoryview, place: Place) -> Tensor:
    """The tensor at `place`, sharing the region's memory."""
    dtype = TORCH_DTYPES[place.dtype]
    if place.bytes == 0:
        return torch.empty(place.shape, dtype=dtype)
    count = place.bytes // DTYPES[place.dtype]
    return torch.frombuffer(region, dtype=dtype, count=count, offset=place.offset).reshape(place.shape)


def _arguments(
    function: Function, layout: Layout, sizes: Mapping[str, int], parameters: Mapping[str, int | float]
) -> tuple[Argument, ...]:
    made = []
    for argument in function.arguments:
        if argument.tensor is not None:
            place = layout.places[argument.name]
            made.append(Argument(place.kind, place.offset))
        elif argument.ctype == "float":
            bits = int(np.float32(parameters[argument.name]).view(np.uint32))
            made.append(Argument(NUMBER, bits))
        else:
            value = sizes[argument.name] if argument.name in sizes else parameters[argument.name]
            made.append(Argument(NUMBER, int(value) & (2**64 - 1)))
    return tuple(made)
