"""A target: one hot path with its contract, as data.

An entry is one callable of the target (`mix_norm` and plain `rms_norm` share a folder). Its C prototype, its guards,
its memory budget and its roofline all derive from what is declared here, so nothing can disagree with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

Sizes = Mapping[str, int]
Parameters = Mapping[str, int | float]

DTYPES = {"float32": 4, "bfloat16": 2, "int64": 8}
SCALAR_DTYPES = ("float32", "bfloat16")
UNIT_ROUNDOFF = {"float32": 2.0**-24, "bfloat16": 2.0**-8}


@dataclass(frozen=True)
class Axis:
    """A named extent and the values a kernel must accept for it."""

    name: str
    minimum: int = 1
    maximum: int = 2**31 - 1
    multiple: int = 1

    def admits(self, size: int) -> bool:
        return self.minimum <= size <= self.maximum and size % self.multiple == 0


@dataclass(frozen=True)
class TensorSpec:
    """A dense row-major tensor, aligned to its element. dtype "scalar" means the workload's own dtype."""

    name: str
    axes: tuple[str, ...]
    dtype: str = "scalar"

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        return tuple(sizes[axis] for axis in self.axes)

    def element(self, scalar: str) -> str:
        return scalar if self.dtype == "scalar" else self.dtype

    def bytes(self, sizes: Sizes, scalar: str) -> int:
        return prod(self.shape(sizes)) * DTYPES[self.element(scalar)]


@dataclass(frozen=True)
class Parameter:
    """A number passed by value: kind is "int64" or "float"."""

    name: str
    kind: str


@dataclass(frozen=True)
class Work:
    """What one call must do at least: floating-point operations and compulsory bytes."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Entry:
    """One callable of a target.

    `updates` names inputs that are changed in place; `gradients` names inputs for which a backward exists. The
    backward receives inputs, outputs, saved tensors and output gradients, and writes the listed input gradients.
    `forward_flops` and `backward_flops` map sizes and parameters to floating-point operations.
    """

    name: str
    axes: tuple[Axis, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    forward_flops: Callable[[Sizes, Parameters], float]
    backward_flops: Callable[[Sizes, Parameters], float] | None = None
    parameters: tuple[Parameter, ...] = ()
    updates: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ()

    @property
    def has_backward(self) -> bool:
        return bool(self.gradients)

    def output_gradients(self) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(f"d{t.name}", t.axes, t.dtype) for t in self.outputs)

    def input_gradients(self) -> tuple[TensorSpec, ...]:
        by_name = {t.name: t for t in self.inputs}
        return tuple(TensorSpec(f"d{name}", by_name[name].axes, by_name[name].dtype) for name in self.gradients)

    def work(self, sizes: Sizes, parameters: Parameters, scalar: str, *, backward: bool) -> Work:
        """Least work of the forward, or of forward and backward together: every tensor touched once."""
        flops = self.forward_flops(sizes, parameters)
        tensors = list(self.inputs) + list(self.outputs)
        tensors += [t for t in self.inputs if t.name in self.updates]
        if backward and self.backward_flops is not None:
            flops += self.backward_flops(sizes, parameters)
            tensors += list(self.output_gradients()) + list(self.input_gradients())
        return Work(flops, float(sum(t.bytes(sizes, scalar) for t in tensors)))


@dataclass(frozen=True)
class Target:
    """A hot path: entries, and the precision policy that its recipe really uses.

    `accumulator` gives per dtype the unit roundoff a kernel may accumulate with; `stored` names per dtype, in words,
    the intermediates that it may round to the dtype's own precision on the way (verify/compare.py; the magnitudes are
    reference.py's). Whatever is not named stays at the accumulator's precision.
    `constraints` are relations between sizes beyond single axes, for example "H % K == 0".
    """

    name: str
    summary: str
    entries: tuple[Entry, ...]
    accumulator: Mapping[str, float]
    stored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    sources: tuple[str, ...] = field(default=())

    def holds(self, sizes: Sizes) -> bool:
        """Whether every constraint between the sizes holds; axes that an entry does not have are not constrained."""
        for constraint in self.constraints:
            code = compile(constraint, f"<constraint of {self.name}>", "eval")
            if set(code.co_names) <= set(sizes) and not eval(code, {"__builtins__": {}}, dict(sizes)):
                return False
        return True

    def entry(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise ValueError(f"entry={name!r} is not in target {self.name!r}: choose from {[e.name for e in self.entries]}")
