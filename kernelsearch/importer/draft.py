"""From a problem's shapes to the draft of a contract: names, axes and the shapes to be asked."""

import re
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from kernelsearch.errors import UsageError
from kernelsearch.importer.folder import Draft
from kernelsearch.importer.imported import Imported
from kernelsearch.importer.problem import Instance, Problem
from kernelsearch.importer.shapes import RESERVED, Survey, extents, fits_search, imitate
from kernelsearch.importer.values import REGIMES
from kernelsearch.spec.target import Axis, TensorSpec

EDGES = 12
EDGE_EXTENTS = (1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 65, 127)
STRIDE = 5
WHOLE_EXTENTS = (65, 48, 32, 17, 8, 5, 3)


def make_draft(problem: Problem, name: str, settings: Mapping[str, int], survey: Survey) -> Draft:
    """The contract of all that the problem's forward reads and returns; its regimes and row axis are not known yet."""
    with imitate():
        instance = problem.instantiate(survey.base, seed=0)
        outputs = instance.run()
    arguments = _arguments(instance)
    taken = {*survey.axes, *(f"n{n}" for shape in survey.shapes.of.values() for n in shape)}
    names: dict[tuple[str, Any], str] = {}
    for key, wish in _wishes(instance, len(outputs)):
        names[key] = _free(wish, taken)
        taken.add(names[key])
    tensors = {
        key: TensorSpec(names[key], _axis_names(survey, key), _dtype(key, instance))
        for key in survey.shapes.of
        if key in names
    }
    fixed = sorted({axis for t in tensors.values() for axis in t.axes} - set(survey.axes), key=lambda n: int(n[1:]))
    imported = Imported(
        digest=problem.digest,
        arguments=tuple(names.get(("argument", i)) for i in range(len(arguments))),
        states={names["state", q]: q for kind, q in names if kind == "state"},
        axes=tuple(survey.axes),
        regimes=REGIMES,
        settings=dict(settings),
    )
    sizes_of_fixed = {axis: int(axis[1:]) for axis in fixed}
    return Draft(
        name=name,
        origin=problem.function or problem.name,
        kind=problem.kind,
        gradients=tuple(
            names["argument", i] for i, n in enumerate(instance.argument_names()) if n in problem.gradients
        ),
        axes=(*survey.axes.values(), *(Axis(a, minimum=n, maximum=n) for a, n in sizes_of_fixed.items())),
        inputs=tuple(t for key, t in tensors.items() if key[0] != "output"),
        outputs=tuple(t for key, t in tensors.items() if key[0] == "output"),
        # Rounded to what the kernel receives.
        parameters={names["argument", i]: float(np.float32(x)) for i, x in enumerate(arguments) if _is_number(x)},
        imported=imported,
        base={axis: survey.base[axis] for axis in survey.axes} | sizes_of_fixed,
        edges=tuple(edge | sizes_of_fixed for edge in _edges(survey)),
    )


def _arguments(instance: Instance) -> list[Any]:
    for argument in instance.arguments:
        if not isinstance(argument, Tensor | int | float | bool | None):
            raise UsageError(f"get_inputs() returns a {type(argument).__name__}: it must return tensors and numbers")
    return list(instance.arguments)


def _is_number(x: Any) -> bool:
    """A number that a kernel takes as a parameter; integers and flags stay the problem's own."""
    return isinstance(x, float)


def _wishes(instance: Instance, outputs: int) -> list[tuple[tuple[str, Any], str]]:
    """Every tensor and number of the contract with the name it would like."""
    pairs = enumerate(zip(instance.argument_names(), instance.arguments, strict=True))
    wishes: list[tuple[tuple[str, Any], str]] = [
        (("argument", i), name) for i, (name, x) in pairs if isinstance(x, Tensor) or _is_number(x)
    ]
    wishes += [(("state", name), name) for name in instance.states()]
    return wishes + [(("output", i), "out" if outputs == 1 else f"out{i}") for i in range(outputs)]


def _free(wish: str, taken: set[str]) -> str:
    name = re.sub(r"\W", "_", wish, flags=re.ASCII)
    while name in taken or name in RESERVED or name[:1].isdigit():
        name = f"t{name}" if name[:1].isdigit() else f"{name}_"
    return name


def _axis_names(survey: Survey, key: tuple[str, Any]) -> tuple[str, ...]:
    shape = survey.shapes.of[key]
    return tuple(survey.follows.get((key, i), f"n{size}") for i, size in enumerate(shape))


def _dtype(key: tuple[str, Any], instance: Instance) -> str:
    if key[0] != "argument":
        return "scalar"
    return "scalar" if instance.arguments[key[1]].dtype.is_floating_point else "int64"


def _edges(survey: Survey) -> list[dict[str, int]]:
    """Small shapes; the largest has every axis above its minimum, so that nothing about it is special.

    The judge's own controls ask the largest: zeros would be right for many a shape with an extent of 1.
    """
    axes = list(survey.axes.values())
    if not axes:
        return [{}]
    whole = next((s for s in (_alike(axes, n) for n in WHOLE_EXTENTS) if fits_search(survey, s)), None)
    found = [{axis.name: axis.minimum for axis in axes}]
    for start in range(EDGES):
        sizes = {a.name: _choices(a)[(start + STRIDE * i) % len(_choices(a))] for i, a in enumerate(axes)}
        is_smaller = whole is None or prod(sizes.values()) < prod(whole.values())
        if sizes not in found and is_smaller and fits_search(survey, sizes):
            found.append(sizes)
    return found if whole is None else [*found, whole]


def _choices(axis: Axis) -> list[int]:
    return [n for n in extents(axis) if n // axis.multiple in EDGE_EXTENTS or n == axis.minimum]


def _alike(axes: list[Axis], size: int) -> dict[str, int]:
    """Every axis near `size`, no two neighbours alike."""
    return {a.name: max(a.minimum, a.multiple * (-(-size // a.multiple) + i % 2)) for i, a in enumerate(axes)}
