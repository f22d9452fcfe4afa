"""The candidate's own numbers as inputs: what a kernel compares its inputs with, no random draw would hit.

Fuzzers call this a dictionary. Each literal of the source, also as the bits of a float32, is put at the ends and among
the elements of small inputs, in pairs. The trap is the domain: a target may need values of one sign or size, so a
number is used only where benign draws of that tensor reach half as far, and not where it is so small that products of
it underflow. A number that is computed, or that spreads over more than two elements, still escapes.
"""

import itertools
import re
import struct
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import Entry, Sizes
from kernelsearch.verify.case import Case, edges, make_case
from kernelsearch.verify.check import Domain, check_case
from kernelsearch.verify.run import Run

MOST_NUMBERS, MOST_CASES = 24, 300
# Whole numbers up to here are among the values of every target's regimes.
ALREADY_DRAWN = 8
SMALL_ELEMENTS = 64
REACH_DRAWS = 4
LEAST = 1e-12
_LITERAL = re.compile(
    r"(?<![\w.])(0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][+-]?\d+|0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
)


def numbers_of(source: str) -> tuple[float, ...]:
    """The literals of C++ or Python source with both signs; hexadecimal integers also as the bits of a float32."""
    found: dict[float, None] = {}
    for text in _LITERAL.findall(source):
        for value in _readings(text):
            if (
                np.isfinite(value)
                and abs(value) >= LEAST
                and not (value == round(value) and abs(value) <= ALREADY_DRAWN)
            ):
                found |= {value: None, -value: None}
    return tuple(found)


def _readings(text: str) -> Iterator[float]:
    if "p" in text.lower():
        yield float.fromhex(text)
    elif text[:2].lower() != "0x":
        yield float(text)
    elif (bits := int(text, 16)) < 2**32:
        yield float(bits)
        yield struct.unpack("<f", struct.pack("<I", bits))[0]


def try_numbers(
    folder: TargetFolder, run: Run, dtype: str, rng: np.random.Generator, domain: Domain, numbers: tuple[float, ...]
) -> None:
    """Raises CandidateFailure where one of the numbers, or two of them, make a small case wrong."""
    for entry in folder.target.entries:
        every = edges(folder, entry, dtype)
        largest = max(every, key=lambda workload: _elements(entry, workload.sizes))
        reach = _reach([make_case(folder, largest, "normal", rng) for _ in range(REACH_DRAWS)])
        usable = [x for x in numbers if any(low <= x <= high for low, high in reach.values())]
        small = [w for w in every if 1 < _elements(entry, w.sizes) <= SMALL_ELEMENTS] or every[:1]
        pairs = list(itertools.product(rng.permutation(np.array(usable))[:MOST_NUMBERS].tolist(), repeat=2))
        for index in rng.permutation(len(pairs))[:MOST_CASES]:
            case = make_case(folder, small[int(rng.integers(len(small)))], "normal", rng)
            check_case(folder, _with_numbers(case, reach, pairs[index], rng), run, domain)


def _reach(cases: list[Case]) -> dict[str, tuple[float, float]]:
    """Twice the least and largest value of each floating-point tensor, or from 0 if all have one sign."""
    names = [n for n, t in cases[0].inputs.items() if t.is_floating_point() and t.dim() > 0]
    ends = {n: [torch.aminmax(case.inputs[n]) for case in cases] for n in names}
    return {
        n: (2 * min(0.0, *(float(e.min) for e in each)), 2 * max(0.0, *(float(e.max) for e in each)))
        for n, each in ends.items()
    }


def _elements(entry: Entry, sizes: Sizes) -> int:
    return max(int(np.prod(t.shape(sizes), dtype=np.int64)) for t in entry.inputs)


def _with_numbers(
    case: Case, reach: dict[str, tuple[float, float]], pair: tuple[float, float], rng: np.random.Generator
) -> Case:
    """The case with the first number at the start of its inputs, the second at the end, and each once in between."""
    inputs = {n: _replaced(t, reach[n], pair, rng) if n in reach else t for n, t in case.inputs.items()}
    return Case(case.workload, "numbers of the source", inputs, case.output_gradients)


def _replaced(
    tensor: Tensor, reach: tuple[float, float], pair: tuple[float, float], rng: np.random.Generator
) -> Tensor:
    flat, (low, high) = tensor.flatten().clone(), reach
    places = [int(rng.integers(flat.numel())) for _ in pair]
    for number, place in zip((*pair, *pair), (*places, 0, -1), strict=True):
        if low <= number <= high:
            flat[place] = number
    return flat.view(tensor.shape)
