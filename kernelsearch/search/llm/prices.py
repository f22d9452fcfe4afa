"""What a call costs: a table in TOML, and the user's own above it. A model that neither names has no price."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kernelsearch.errors import UsageError
from kernelsearch.search.llm.message import Prompt, Usage

TABLE = Path(__file__).parent / "prices.toml"
OVERHEAD_TOKENS = 500  # what providers add around a message


@dataclass(frozen=True)
class Price:
    """USD for a million tokens."""

    input: float
    cached: float
    written: float
    output: float

    def cost(self, usage: Usage) -> float:
        prompt = usage.fresh * self.input + usage.cached * self.cached + usage.written * self.written
        return (prompt + usage.completion * self.output) / 1e6

    def highest_cost(self, prompt: Prompt, answer_tokens: int) -> float:
        """What no call with this prompt can exceed: a token is at least one byte of it."""
        size = sum(len(str(part).encode()) for part in prompt.as_json().values()) + OVERHEAD_TOKENS
        return (size * max(self.input, self.written) + answer_tokens * self.output) / 1e6


Prices = Mapping[tuple[str, str], Price]


def read_prices(own: Path | None = None) -> dict[tuple[str, str], Price]:
    """Prices by provider and model: ours, and above them those of the user's file."""
    return {**_read(TABLE), **(_read(own) if own is not None else {})}


def _read(file: Path) -> dict[tuple[str, str], Price]:
    try:
        loaded = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"prices={str(file)!r}: cannot be read as TOML ({error})") from None
    return {
        (provider, model): _price(file, f"{provider}.{model}", value)
        for provider, models in loaded.items()
        for model, value in (models.items() if isinstance(models, dict) else ())
    }


def _price(file: Path, name: str, value: Any) -> Price:
    wanted = [field.name for field in fields(Price)]
    known = dict(value) if isinstance(value, dict) else {}
    known = {"cached": known.get("input"), "written": known.get("input"), **known}
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v >= 0 for v in known.values())
    if sorted(known) != sorted(wanted) or not numbers:
        raise UsageError(
            f"prices={str(file)!r}: [{name}] must have input and output, and may have cached and written, "
            "in USD for a million tokens"
        )
    return Price(**{key: float(number) for key, number in known.items()})
