"""Small wrong changes of a CUDA candidate's kernels: those of C++, and what only blocks and warps can get wrong.

The operators on C++ (scorecard/operators.py) see the text with CUDA's own words blanked out, so that places stay the
same. Barriers, masks, indices of threads and blocks, atomics and tests of alignment have operators here. What the host
function does is left alone.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from kernelsearch.build.cuda import Text, cuda_texts
from kernelsearch.scorecard.edits import Edit, find_edits

_WORDS = re.compile(
    r"__(?:global|device|shared|forceinline|restrict|noinline|constant)__"
    r"|__(?:launch_bounds|align)__\s*\([^()]*(?:\([^()]*\)[^()]*)*\)|^[ \t]*#pragma[^\n]*",
    re.MULTILINE,
)
# What the text says, what the change makes of it (nothing of what is within a comment).
CHANGES = {
    "barrier dropped": (r"__sync(?:threads|warp)\(\)", "((void)0)"),
    "mask halved": (r"0xffffffffu", "0x0000ffffu"),
    "thread off by one": (r"threadIdx\.x", "(threadIdx.x + 1)"),
    "thread fixed": (r"threadIdx\.x", "0"),
    "block fixed": (r"blockIdx\.x", "0"),
    "block off by one": (r"blockIdx\.x", "(blockIdx.x + 1)"),
    "alignment taken for granted": (r"is_aligned\(\w+\)(?=[;,)& ])", "true"),
    "atomic made plain": (r"atomic(?:Add|Max|Min|Exch|Or)\(([^,()]+), ([^,()]+)\)", r"(*(\1) = \2)"),
}
_KEPT = re.compile(r"mutant::keep_bits<(\d+)>\(")


def find_cuda_edits(source: str) -> list[Edit]:
    """Every change, in order of operator and place; none in a text that is not written out verbatim in the file."""
    found: list[Edit] = []
    for text in cuda_texts(source):
        start = source.find(text.code)
        if start >= 0:
            offset = len(source[:start].encode())
            edits = (*find_edits(_blanked(text.code)), *_own_edits(text))
            found += [replace(_spelt(e), start=e.start + offset, end=e.end + offset) for e in edits]
    return sorted(found, key=lambda e: (e.operator, e.start, e.end, e.text))


def _blanked(code: str) -> str:
    return _WORDS.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), code)


def _own_edits(text: Text) -> Iterator[Edit]:
    code = re.sub(r"//[^\n]*", lambda found: " " * len(found[0].encode()), text.code)
    readable = _blanked(text.code)
    for operator, (pattern, after) in CHANGES.items():
        for found in re.finditer(pattern, code):
            start = len(code[: found.start()].encode())
            yield Edit(
                operator, start, start + len(found[0].encode()), found.expand(after), _function(readable, found.start())
            )


def _function(code: str, at: int) -> str:
    """The name of the last function that begins before `at`; "" before the first."""
    names = re.findall(r"^[^\n{;]*?\b(\w+)\([^;{]*\)\s*\{", code[:at], re.MULTILINE)
    return names[-1] if names else ""


def _spelt(edit: Edit) -> Edit:
    """With rounding to fewer bits written in CUDA's own words."""
    text = edit.text
    while kept := _KEPT.search(text):
        inside, end = _bracketed(text, kept.end())
        drop = 24 - int(kept[1])
        rounded = f"((__float_as_uint({inside}) + {1 << (drop - 1)}u) & {0xFFFFFFFF >> drop << drop}u)"
        text = f"{text[: kept.start()]}__uint_as_float({rounded}){text[end:]}"
    return replace(edit, text=text)


def _bracketed(text: str, start: int) -> tuple[str, int]:
    """What stands before the bracket that closes the one before `start`, and the position after it."""
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return text[start:at], at + 1
    return text[start:], len(text)
