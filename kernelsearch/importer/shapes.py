"""Which sizes of a problem may change: its constants are bound to other numbers, and the shapes watched.

Shapes come from a run on fake tensors, which computes nothing. A constant is an axis when every dimension that follows
it equals it, at any size that the judge may ask for, together with every other axis; all other dimensions are fixed.
"""

import random
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from kernelsearch.importer.problem import Problem
from kernelsearch.spec.target import Axis
from kernelsearch.verify.search import EXTENTS, MAXIMUM_ELEMENTS

Settings = Mapping[str, int]
# What a tensor belongs to, and which of its dimensions.
Dimension = tuple[tuple[str, Any], int]
TRIALS = 5
MULTIPLES = (1, 2, 4, 8, 16)
MAXIMUM_DIMENSION = 2**24
# A name that is an argument of a C++ function must not be one of the language's words.
_RESERVED = """alignas alignof and asm auto bool break case catch char class const constexpr continue default
    delete do double else enum explicit export extern false float for friend goto if inline int long
    mutable namespace new not nullptr operator or private protected public register return short
    signed sizeof static struct switch template this throw true try typedef typename union unsigned
    using virtual void volatile while xor int64_t scalar_t"""
RESERVED = frozenset(_RESERVED.split())


@dataclass(frozen=True)
class Shapes:
    """Shapes by what they belong to: ("argument", index), ("state", qualified name) or ("output", index)."""

    of: Mapping[tuple[str, Any], tuple[int, ...]]
    bytes: int


def imitate() -> FakeTensorMode:
    """A context in which tensors have shapes and no values."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def find_shapes(problem: Problem, settings: Settings) -> Shapes:
    """Every shape with these settings; whatever the problem raises comes through."""
    with imitate(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        instance = problem.instantiate(settings, seed=0)
        found: dict[tuple[str, Any], Tensor] = {
            ("argument", i): x for i, x in enumerate(instance.arguments) if isinstance(x, Tensor)
        }
        found |= {("state", name): tensor for name, tensor in instance.states().items()}
        found |= {("output", i): output for i, output in enumerate(instance.run())}
        size = sum(x.numel() * (4 if x.is_floating_point() else 8) for x in found.values())
        return Shapes({key: tuple(int(n) for n in x.shape) for key, x in found.items()}, size)


@dataclass
class Survey:
    """The axes found so far, and for each dimension the axis it follows."""

    problem: Problem
    base: Settings
    shapes: Shapes
    axes: dict[str, Axis]
    follows: dict[Dimension, str]

    def expected(self, settings: Settings) -> dict[tuple[str, Any], tuple[int, ...]]:
        return {
            key: tuple(
                settings[self.follows[key, i]] if (key, i) in self.follows else size for i, size in enumerate(shape)
            )
            for key, shape in self.shapes.of.items()
        }

    def holds(self, sizes: Settings) -> bool:
        """Whether the shapes at these sizes of axes are as the axes say."""
        settings = {**self.base, **sizes}
        return _try(self.problem, settings) == self.expected(settings)


def survey_axes(problem: Problem, settings: Settings, shapes: Shapes) -> Survey:
    """Adds one constant after another as an axis, keeping those with which random sizes of all hold."""
    base = {**problem.constants, **settings}
    survey = Survey(problem, base, shapes, {}, {})
    draw = random.Random(0)
    for name in problem.constants:
        if name in RESERVED or not name.isascii():
            continue
        found = _probe(survey, name)
        if found is None:
            continue
        axis, dimensions = found
        grown = Survey(
            problem, base, shapes, {**survey.axes, name: axis}, {**survey.follows, **dict.fromkeys(dimensions, name)}
        )
        if all(grown.holds(sizes) for sizes in _random_sizes(grown, draw)):
            survey = grown
    return survey


def extents(axis: Axis) -> list[int]:
    """The sizes of an axis that the judge asks for."""
    return sorted(n for n in {e * axis.multiple for e in EXTENTS} | {axis.minimum} if axis.admits(n))


def fits_search(survey: Survey, sizes: Settings) -> bool:
    """Whether the largest input is small enough for the judge's search at these sizes."""
    expected = survey.expected({**survey.base, **sizes})
    return max(_count(shape) for key, shape in expected.items() if key[0] != "output") <= MAXIMUM_ELEMENTS


def _probe(survey: Survey, name: str) -> tuple[Axis, list[Dimension]] | None:
    """The axis that this constant alone would be, and the dimensions that follow it."""
    value = survey.base[name]
    if not 1 < value <= MAXIMUM_DIMENSION:  # a problem that fixes an extent to 1 may be another at 2
        return None
    for multiple in (m for m in MULTIPLES if value % m == 0):
        near = _followers(survey, name, value + multiple)
        if near is None:  # the problem refused the size: perhaps it must be a multiple
            continue
        is_axis = any(key[0] != "output" for key, _ in near) and near == _followers(survey, name, value + 3 * multiple)
        return (_axis(survey, name, multiple), near) if is_axis else None
    return None


def _followers(survey: Survey, name: str, other: int) -> list[Dimension] | None:
    """The dimensions that become `other` with the constant; empty if one becomes something else, None if none can."""
    value, found = survey.base[name], _try(survey.problem, {**survey.base, name: other})
    if found is None:
        return None
    if found.keys() != survey.shapes.of.keys():
        return []
    followers = []
    for key, shape in survey.shapes.of.items():
        if len(found[key]) != len(shape):
            return []
        for i, (before, after) in enumerate(zip(shape, found[key], strict=True)):
            if before != after:
                if (before, after) != (value, other) or (key, i) in survey.follows:
                    return []
                followers.append((key, i))
    return followers


def _axis(survey: Survey, name: str, multiple: int) -> Axis:
    """The axis with the smallest extent at which the constant alone works."""
    smallest = [n * multiple for n in EXTENTS if n * multiple < survey.base[name]]
    for n in smallest:
        if _followers(survey, name, n):
            return Axis(name, minimum=n, multiple=multiple)
    return Axis(name, minimum=survey.base[name], multiple=multiple)


def _random_sizes(survey: Survey, draw: random.Random) -> list[dict[str, int]]:
    smallest = {name: axis.minimum for name, axis in survey.axes.items()}
    return [smallest, *({n: draw.choice(extents(a)) for n, a in survey.axes.items()} for _ in range(TRIALS))]


def _try(problem: Problem, settings: Settings) -> Mapping[tuple[str, Any], tuple[int, ...]] | None:
    try:
        return find_shapes(problem, settings).of
    except Exception:  # whatever the problem's code raises: these sizes are not its own
        return None


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
