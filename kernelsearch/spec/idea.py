"""An idea: a sentence about one target, with what it promises and where it comes from.

Proposers are given one and turn it into candidates. An effect is written as people write it: `1.25x` (the target takes
1/1.25 of its time), `-20%` of the target's time (the same), or `-0.3ms` of a training step.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelsearch.digest import digest
from kernelsearch.errors import UsageError

MAXIMUM_SPEEDUP = 100.0
MAXIMUM_SAVED_MS = 100_000.0
MAXIMUM_TEXT = 2000
MAXIMUM_SOURCE = 1000
DEVICES = ("any", "cpu", "cuda")
DTYPES = ("any", "float32", "bfloat16")
AGAINST = ("best", "baseline")
FIELDS = frozenset({"text", "target", "predicts", "against", "source", "author", "device", "dtype"})
_EFFECT = re.compile(r"(?P<speedup>\d+(\.\d+)?)x|-(?P<percent>\d+(\.\d+)?)%|-(?P<ms>\d+(\.\d+)?)ms")


@dataclass(frozen=True)
class Effect:
    """Of `unit` "x", the target's time is divided by `amount`; of "ms", a training step is `amount` ms shorter."""

    amount: float
    unit: str

    def __str__(self) -> str:
        return f"{self.amount:.4g}x" if self.unit == "x" else f"-{self.amount:.4g}ms"


def parse_effect(text: str) -> Effect:
    """The effect in "1.25x", "-20%" or "-0.3ms". Raises UsageError for anything else, and for what cannot be."""
    match = _EFFECT.fullmatch(re.sub(r"\s", "", text.replace("\u2212", "-")))
    if match is None:
        raise UsageError(f"predicts={text!r}: write 1.25x, -20% (of the target's time) or -0.3ms (of a training step)")
    if match["ms"]:
        effect, is_possible = Effect(float(match["ms"]), "ms"), 0 < float(match["ms"]) <= MAXIMUM_SAVED_MS
    elif match["percent"]:
        left = 1 - float(match["percent"]) / 100
        effect, is_possible = Effect(1 / left if left > 0 else 0.0, "x"), 1 / MAXIMUM_SPEEDUP <= left < 1
    else:
        effect = Effect(float(match["speedup"]), "x")
        is_possible = 1 < effect.amount <= MAXIMUM_SPEEDUP
    if not is_possible:
        raise UsageError(f"predicts={text!r}: a gain of more than nothing and at most {MAXIMUM_SPEEDUP:g}x")
    return effect


@dataclass(frozen=True)
class Idea:
    """What to try on `target`, and why somebody thinks that it helps.

    `against` says what the prediction is relative to: "best", the fastest accepted kernel when the idea was filed, or
    "baseline", what training runs without kernels. `device` and `dtype` are where it can be tried. `source` is a
    citation.
    """

    text: str
    target: str
    predicts: Effect | None = None
    against: str = "best"
    source: str = ""
    author: str = ""
    device: str = "any"
    dtype: str = "any"

    def __post_init__(self) -> None:
        if not 10 <= len(self.text.strip()) <= MAXIMUM_TEXT:
            raise UsageError(f"text of {len(self.text.strip())} characters: an idea has 10 to {MAXIMUM_TEXT}")
        if len(self.source) > MAXIMUM_SOURCE or len(self.author) > MAXIMUM_SOURCE:
            raise UsageError(f"source and author have at most {MAXIMUM_SOURCE} characters")
        if self.device not in DEVICES:
            raise UsageError(f"device={self.device!r}: choose from {', '.join(DEVICES)}")
        if self.dtype not in DTYPES:
            raise UsageError(f"dtype={self.dtype!r}: choose from {', '.join(DTYPES)}")
        if self.against not in AGAINST:
            raise UsageError(f"against={self.against!r}: choose from {', '.join(AGAINST)}")

    @property
    def id(self) -> str:
        """Twelve digits of a digest over target and text: the same sentence is the same idea."""
        return digest([self.target, " ".join(self.text.split())])[:12]

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "text": self.text,
            "target": self.target,
            "predicts": None if self.predicts is None else str(self.predicts),
            "against": self.against,
            "source": self.source,
            "author": self.author,
            "device": self.device,
            "dtype": self.dtype,
        }


def idea_from_json(value: Mapping[str, Any]) -> Idea:
    """The idea that `Idea.as_json` wrote, or that a person wrote with the same keys; `id` is computed, not read."""
    fields = {key: item for key, item in value.items() if key in FIELDS}
    wrong = [
        key for key, item in fields.items() if not isinstance(item, str) and (key != "predicts" or item is not None)
    ]
    if wrong or not {"text", "target"} <= fields.keys():
        raise UsageError(f"idea={dict(value)!r}: needs text and target, and every field is a text")
    predicts = fields.pop("predicts", None)
    return Idea(**fields, predicts=parse_effect(predicts) if predicts else None)
