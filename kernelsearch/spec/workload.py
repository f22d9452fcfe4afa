"""A workload: one entry of a target with every axis and parameter bound to a number."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Workload:
    """`name` is "group/variant" (for example "tiny/window"); `calls` is how often a training step makes this call."""

    name: str
    entry: str
    sizes: Mapping[str, int]
    parameters: Mapping[str, int | float]
    dtype: str
    calls: float = 1.0

    @property
    def group(self) -> str:
        return self.name.split("/")[0]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "entry": self.entry,
            "sizes": dict(self.sizes),
            "parameters": dict(self.parameters),
            "dtype": self.dtype,
            "calls": self.calls,
        }
