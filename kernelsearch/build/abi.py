"""The C prototypes of a target, derived from its contract, and the trampolines the runner calls them through.

The text is force-included before a candidate's source: a definition that disagrees with its prototype does not
compile. Order of arguments: tensors in declared order, then `int64_t` axes, then parameters.

    forward   inputs, outputs, saved tensors
    backward  inputs, outputs, saved tensors, output gradients, input gradients
"""

from dataclasses import dataclass

from kernelsearch.spec.candidate import Candidate, saved_tensors, tunable_space
from kernelsearch.spec.target import Entry, Target, TensorSpec

CTYPES = {"scalar": "scalar_t", "float32": "float", "bfloat16": "bfloat16_t", "int64": "int64_t"}
PARAMETER_CTYPES = {"int64": "int64_t", "float": "float"}


@dataclass(frozen=True)
class Argument:
    """One argument of a C function: a tensor (`writable` or not), or a number when `tensor` is None."""

    name: str
    ctype: str
    tensor: TensorSpec | None
    writable: bool = False

    @property
    def declaration(self) -> str:
        if self.tensor is None:
            return f"{self.ctype} {self.name}"
        return f"{'' if self.writable else 'const '}{self.ctype}* {self.name}"


@dataclass(frozen=True)
class Function:
    """One exported C function: `symbol` and its arguments in order."""

    symbol: str
    arguments: tuple[Argument, ...]

    @property
    def trampoline(self) -> str:
        return f"ks_call_{self.symbol}"

    @property
    def prototype(self) -> str:
        return f"void {self.symbol}({', '.join(a.declaration for a in self.arguments)});"


def forward_function(entry: Entry, saved: tuple[TensorSpec, ...]) -> Function:
    arguments = [_tensor(t, writable=t.name in entry.updates) for t in entry.inputs]
    arguments += [_tensor(t, writable=True) for t in (*entry.outputs, *saved)]
    return Function(f"{entry.name}_forward", (*arguments, *_numbers(entry)))


def backward_function(entry: Entry, saved: tuple[TensorSpec, ...]) -> Function:
    read = (*entry.inputs, *entry.outputs, *saved, *entry.output_gradients())
    arguments = [_tensor(t, writable=False) for t in read]
    arguments += [_tensor(t, writable=True) for t in entry.input_gradients()]
    return Function(f"{entry.name}_backward", (*arguments, *_numbers(entry)))


def functions(target: Target, source: str) -> tuple[Function, ...]:
    """Every function a candidate for `target` with this source must export."""
    found = []
    for entry in target.entries:
        saved = saved_tensors(source, target, entry.name)
        found.append(forward_function(entry, saved))
        if entry.has_backward:
            found.append(backward_function(entry, saved))
    return tuple(found)


def abi_header(target: Target, candidate: Candidate, dtype: str) -> str:
    """The C++ text included before the candidate: scalar type, tunables, prototypes, trampolines."""
    exported = functions(target, candidate.declared)
    tunables = "".join(f"#define {name} {value}\n" for name, value in sorted(macros(candidate).items()))
    return _PRELUDE.format(
        scalar={"float32": "float", "bfloat16": "bfloat16_t"}[dtype],
        is_bfloat16=int(dtype == "bfloat16"),
        tunables=tunables,
        prototypes="\n".join(_EXPORT + f.prototype for f in exported),
        trampolines="\n".join(_trampoline(f) for f in exported),
    )


def macros(candidate: Candidate) -> dict[str, int]:
    """A number as it is; of a word, one macro for each choice, 1 for the bound one: a misspelt name is no choice."""
    macros: dict[str, int] = {}
    for name, values in tunable_space(candidate.source).items():
        bound = candidate.tunables[name]
        if isinstance(bound, int):
            macros[name] = bound
        else:
            macros |= {f"{name}_{value}": int(value == bound) for value in values}
    return macros


def describe_abi(target: Target, source: str) -> str:
    """What a person or an agent reads: the prototypes a candidate must define."""
    return "\n".join(f'extern "C" {f.prototype}' for f in functions(target, source))


def _tensor(spec: TensorSpec, *, writable: bool) -> Argument:
    return Argument(spec.name, CTYPES[spec.dtype], spec, writable)


def _numbers(entry: Entry) -> tuple[Argument, ...]:
    axes = [Argument(axis.name, "int64_t", None) for axis in entry.axes]
    return (*axes, *(Argument(p.name, PARAMETER_CTYPES[p.kind], None) for p in entry.parameters))


def _trampoline(function: Function) -> str:
    """A function of one calling convention for all: pointers as they are, numbers behind a pointer to 8 bytes."""
    passed = []
    for index, argument in enumerate(function.arguments):
        if argument.tensor is not None:
            const = "" if argument.writable else "const "
            passed.append(f"static_cast<{const}{argument.ctype}*>(a[{index}])")
        else:
            passed.append(f"*static_cast<const {argument.ctype}*>(a[{index}])")
    return f"{_EXPORT}void {function.trampoline}(void* const* a) {{ {function.symbol}({', '.join(passed)}); }}"


_EXPORT = 'extern "C" __attribute__((visibility("default"))) '

_PRELUDE = """\
#pragma once
#include <cstdint>
struct bfloat16_t {{ std::uint16_t bits; }};
typedef {scalar} scalar_t;
#define SCALAR_IS_BFLOAT16 {is_bfloat16}
{tunables}
using std::int64_t;
{prototypes}
{trampolines}
"""
