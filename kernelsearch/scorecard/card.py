"""The scorecard: the judge's error rates, each part measured on its own and in any order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelsearch.scorecard.clock import Decisions
from kernelsearch.scorecard.exploits import ExploitScore
from kernelsearch.scorecard.result import CorporaResult

PARTS = ("exploits", "corpora", "clock", "verdicts")


@dataclass(frozen=True)
class WholeVerdicts:
    """Wall seconds of whole verdicts, clock included, on honest kernels, by target; `accepted_median` over all."""

    seconds: Mapping[str, float]
    accepted_median: float


@dataclass(frozen=True)
class Scorecard:
    """Parts that were not measured are None, never a guess. `environment` says on what it was measured."""

    environment: Mapping[str, Any]
    exploits: ExploitScore | None
    corpora: CorporaResult | None
    clock: tuple[Decisions, ...]
    verdicts: WholeVerdicts | None

    def as_json(self) -> dict[str, Any]:
        """The stable keys first; what is behind them after."""
        found: dict[str, Any] = {"environment": dict(self.environment)}
        if self.exploits is not None:
            found["exploits"] = self.exploits.as_json()
        if self.corpora is not None:
            found |= self.corpora.as_json()
        if self.verdicts is not None:
            whole = {"accepted_median": self.verdicts.accepted_median, "whole_verdicts": dict(self.verdicts.seconds)}
            found["seconds"] = {**found.get("seconds", {}), **whole}
        if self.clock:
            found |= _clock(self.clock)
        return found


def _clock(decisions: tuple[Decisions, ...]) -> dict[str, Any]:
    identical = [d for d in decisions if d.gain == 0]
    return {
        "false_wins": {
            "count": sum(d.called_faster for d in identical),
            "decisions": sum(d.decisions for d in identical),
            "busy": {
                "count": sum(d.called_faster for d in identical if d.is_busy),
                "decisions": sum(d.decisions for d in identical if d.is_busy),
            },
        },
        "power": {f"{d.gain}%": d.share for d in decisions if d.gain > 0},
        "clock": [d.as_json() for d in decisions],
    }
