"""One line of the ledger: a record, its place in the chain, and the digest that covers both.

A line is the canonical JSON of {body, digest, kind, previous, sequence, time}, where `digest` is the SHA-256 of the
canonical JSON of the other five. Checking works on the bytes as they stand in the file: cutting the digest out leaves
the very text that was hashed, so no byte of a line can change unnoticed, not even one that parses to the same value.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelsearch.digest import canonical_json, digest_bytes
from kernelsearch.errors import CorruptState

GENESIS = "0" * 64
KIND = re.compile(r"[a-z]+(-[a-z]+)*")
_DIGEST_KEY = b',"digest":"'
_DIGEST_END = len(_DIGEST_KEY) + 64 + 1


@dataclass(frozen=True)
class Line:
    """A record as it stands in the ledger. `previous` is the digest of the line before, GENESIS for the first."""

    sequence: int
    kind: str
    time: str
    previous: str
    body: Mapping[str, Any]
    digest: str


def encode_line(sequence: int, kind: str, time: str, previous: str, body: Mapping[str, Any]) -> bytes:
    """The line's bytes with its newline. Raises ValueError for what canonical JSON cannot hold (NaN, infinity)."""
    if not KIND.fullmatch(kind):
        raise ValueError(f"kind={kind!r} must be lower-case words joined by '-'")
    rest = {"body": dict(body), "kind": kind, "previous": previous, "sequence": sequence, "time": time}
    text = canonical_json(rest).encode("ascii")
    cut = text.rindex(b',"kind":"')  # the keys after "kind" hold no quotes of their own, so the last match is the key
    return text[:cut] + _DIGEST_KEY + digest_bytes(text).encode("ascii") + b'"' + text[cut:] + b"\n"


def decode_line(raw: bytes) -> Line:
    """The line in `raw`, without its newline. Raises CorruptState where the bytes do not match their own digest."""
    cut = raw.rfind(_DIGEST_KEY)
    if cut < 0:
        raise CorruptState("it is not a ledger line")
    claimed = raw[cut + len(_DIGEST_KEY) : cut + _DIGEST_END - 1]
    found = digest_bytes(raw[:cut] + raw[cut + _DIGEST_END :]).encode("ascii")
    if found != claimed or raw[cut + _DIGEST_END - 1 : cut + _DIGEST_END] != b'"':
        raise CorruptState(f"its content has digest {found[:12].decode()}..., the line claims {claimed[:12]!r}...")
    try:
        line = Line(**json.loads(raw))
    except (ValueError, TypeError, RecursionError):
        raise CorruptState("it has the right digest, but it is not a ledger line") from None
    if not isinstance(line.body, dict):
        raise CorruptState(f"its body is a {type(line.body).__name__}, not an object")
    return line


def check_place(line: Line, sequence: int, previous: str) -> None:
    """Raise CorruptState unless `line` is number `sequence` (from 0) and follows the line with digest `previous`."""
    if line.sequence != sequence:
        raise CorruptState(f"it has sequence={line.sequence}, expected {sequence}: lines are missing, added or moved")
    if line.previous != previous:
        raise CorruptState(f"it follows {line.previous[:12]}..., but the line before has digest {previous[:12]}...")
