"""What an idea is worth to a training step, by Amdahl's law: the target's share of the step times what it would lose.

    gain = share * (now - then)      in shares of a step without kernels

`now` is the target's time relative to the baseline with the best accepted kernel (1 / its speedup), `then` with the
idea. An idea that promises less than the best kernel already gives is worth nothing. Where the share was not measured,
or the prediction is for another device, there is no gain to tell, and the idea stands after those that have one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kernelsearch.errors import CorruptState
from kernelsearch.ideas.entry import Entry
from kernelsearch.ideas.queue import Order
from kernelsearch.spec import Idea

FILES = "shares-*.json"


@dataclass(frozen=True)
class Shares:
    """Measured times of one training step without kernels: `step_ms`, and `targets_ms` by target.

    Targets may contain one another (a layer and its activation): the times do not add up to the step.
    """

    config: str
    dtype: str
    device: str
    device_kind: str
    threads: int
    date: str
    step_ms: float
    targets_ms: Mapping[str, float] = field(default_factory=dict)

    def share(self, target: str) -> float | None:
        """The target's part of the step, None where it was not measured."""
        time_ms = self.targets_ms.get(target)
        return None if time_ms is None else time_ms / self.step_ms


def read_shares(state: Path) -> Shares | None:
    """What was measured last in this state folder, of whatever configuration; None where nothing was."""
    found = [_read(file) for file in state.glob(FILES)]
    return max(found, key=lambda shares: shares.date, default=None)


def _read(file: Path) -> Shares:
    try:
        document = json.loads(file.read_text())
        same = {key: document[key] for key in ("config", "dtype", "device", "device_kind", "threads", "date")}
        targets_ms = {name: target["us"] / 1000 for name, target in document["targets"].items()}
        return Shares(**same, step_ms=document["step_us"] / 1000, targets_ms=targets_ms)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptState(f"{file} is not what `kernelsearch ideas shares` wrote ({error!r}): delete it") from None


def expected_gain(idea: Idea, shares: Shares, best: float = 1.0) -> float | None:
    """The share of a step that the idea would save; `best` is the speedup of the best accepted kernel, 1 for none."""
    share = shares.share(idea.target)
    is_here = idea.device in ("any", shares.device_kind) and idea.dtype in ("any", shares.dtype)
    if idea.predicts is None or share is None or not is_here:
        return None
    if idea.predicts.unit == "ms":
        return min(idea.predicts.amount / shares.step_ms, share / best)
    now = 1 / best
    then = (now if idea.against == "best" else 1.0) / idea.predicts.amount
    return share * max(0.0, now - then)


def by_gain(shares: Shares, best: Mapping[str, float]) -> Order:
    """The largest expected gain first; then ideas whose gain is unknown, in the order of filing; last what gains 0."""

    def order(entries: Iterable[Entry]) -> list[Entry]:
        def key(entry: Entry) -> tuple[int, float, int]:
            gain = expected_gain(entry.idea, shares, best.get(entry.idea.target, 1.0))
            return 1 if gain is None else 0 if gain > 0 else 2, -(gain or 0.0), entry.number

        return sorted(entries, key=key)

    return order
