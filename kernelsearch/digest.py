"""Canonical JSON and SHA-256: the only place where anything is hashed.

Parts are hashed through canonical JSON, never concatenated, so that no two different lists of parts share a digest.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, ASCII only; NaN and infinities are refused."""
    _refuse_non_finite(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of raw bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_files(root: Path, pattern: str, *, is_deep: bool = True) -> str:
    """One digest over the relative names and contents of the files below `root`, or right in it, that match."""
    files = sorted(path for path in (root.rglob if is_deep else root.glob)(pattern) if path.is_file())
    return digest([[path.relative_to(root).as_posix(), digest_bytes(path.read_bytes())] for path in files])


def _refuse_non_finite(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"value={value!r} cannot be hashed: use null for a missing number")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_non_finite(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_non_finite(item)
