"""What goes to a model and what comes back, whoever the model is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Prompt:
    """`stable` is the same for a whole study, so that a provider can cache it; `turn` is this question.

    With a `schema` the answer is to be JSON of that schema. `files` are for who works in a folder.
    """

    stable: str
    turn: str
    schema: Mapping[str, Any] | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"stable": self.stable, "turn": self.turn, "schema": self.schema, "files": dict(self.files)}


@dataclass(frozen=True)
class Usage:
    """Tokens of one call. Of the prompt: `fresh` at full price, `cached` read from a cache, `written` to one."""

    fresh: int
    cached: int
    written: int
    completion: int

    @property
    def prompt(self) -> int:
        return self.fresh + self.cached + self.written

    def as_json(self) -> dict[str, int]:
        return {
            "prompt": self.prompt,
            "cached": self.cached,
            "written": self.written,
            "completion": self.completion,
        }


def usage_from_json(value: Mapping[str, int]) -> Usage:
    """The usage that `Usage.as_json` wrote."""
    fresh = value["prompt"] - value["cached"] - value["written"]
    return Usage(fresh, value["cached"], value["written"], value["completion"])


@dataclass(frozen=True)
class Answer:
    """`is_cut_off`: the model reached the most tokens it was given. `cost` in USD where the other side told it."""

    text: str
    usage: Usage | None
    is_cut_off: bool = False
    cost: float | None = None


class CallFailed(Exception):
    """No answer came; `is_permanent` where asking again cannot help (a wrong key, an unknown model)."""

    def __init__(self, reason: str, *, is_permanent: bool) -> None:
        super().__init__(reason)
        self.is_permanent = is_permanent


class Client(Protocol):
    """One model at one provider."""

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def answer_tokens(self) -> int:
        """The most tokens of an answer."""

    def settings(self) -> Mapping[str, Any]:
        """All that the answer depends on besides the prompt; never a key."""

    def send(self, prompt: Prompt, timeout_s: float) -> Answer:
        """Raises CallFailed."""
