"""Small wrong changes of a C++ source: where, and what stands there instead."""

import re
from dataclasses import dataclass

from kernelsearch.scorecard.operators import FLOAT32_ONLY, OPERATORS
from kernelsearch.scorecard.syntax import enclosing_function, parse, text_of, walk

PRELUDE = """\
#include <cstdint>
#include <cstring>
#include <type_traits>
namespace mutant {
template <int BITS, class T> inline T keep_bits(T x) {
    static_assert(!std::is_integral_v<T> && !std::is_pointer_v<T>);
    constexpr std::uint32_t drop = 24 - BITS;
    std::uint32_t lanes[sizeof(T) / 4];
    std::memcpy(lanes, &x, sizeof x);
    for (auto& lane : lanes) lane = (lane + (1u << (drop - 1))) & ~((1u << drop) - 1u);
    std::memcpy(&x, lanes, sizeof x);
    return x;
}
template <int BITS> inline double keep_bits(double x) { return keep_bits<BITS>(static_cast<float>(x)); }
}  // namespace mutant
"""


@dataclass(frozen=True)
class Edit:
    """Replace bytes start..end by `text`; `only` names the dtype in which that is wrong, None for every one."""

    operator: str
    start: int
    end: int
    text: str
    function: str
    only: str | None = None


def find_edits(source: str) -> list[Edit]:
    """Every change the operators find, in order of operator and place."""
    found = [
        Edit(name, place.start_byte, place.end_byte, text, enclosing_function(node), _only(name))
        for node in walk(parse(source))
        for name, operator in OPERATORS.items()
        for place, text in operator(node)
        if text != text_of(place)
    ]
    return sorted(set(found), key=lambda e: (e.operator, e.start, e.end, e.text))


def apply_edit(source: str, edit: Edit) -> str:
    """The source with the change, and the rounding helper before its first include if the change needs it."""
    data = source.encode()
    changed = (data[: edit.start] + edit.text.encode() + data[edit.end :]).decode()
    if "mutant::" not in edit.text:
        return changed
    place = re.search(r"^#include", changed, re.MULTILINE)
    at = place.start() if place else 0
    return changed[:at] + PRELUDE + changed[at:]


def _only(operator: str) -> str | None:
    return "float32" if operator in FLOAT32_ONLY else None
