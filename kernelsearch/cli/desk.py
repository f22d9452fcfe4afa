"""The queue of one state folder, with what is known there: shares of a step, the best kernels."""

import getpass
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kernelsearch.cli.state import open_state
from kernelsearch.dispatch.store import Store
from kernelsearch.ideas import Entry, Queue, by_filing
from kernelsearch.ideas.gain import Shares, by_gain, expected_gain, read_shares
from kernelsearch.ideas.library import built_in
from kernelsearch.ledger import Ledger
from kernelsearch.spec import find_target, library_path, target_names

Gains = Callable[[Entry], float | None]


class Desk:
    """The queue of one state folder, ordered by what is known there."""

    def __init__(self, state: Path | None = None, library: Path | None = None) -> None:
        self.state = state or open_state()
        self.library = library or library_path()
        self.ledger = Ledger(self.state / "ledger.jsonl")

        entries = built_in(self.library / name for name in target_names(self.library))
        self.queue = Queue(self.ledger, entries, order=self._order)

    @property
    def shares(self) -> Shares | None:
        return read_shares(self.state)

    @property
    def best(self) -> Mapping[str, float]:
        """The speedup of the best accepted kernel of each target, as the store is now."""
        return {name: self.best_of(name) for name in target_names(self.library)}

    def best_of(self, target: str, besides: str | None = None) -> float:
        """That of one target, 1 where it has none; `besides` is the digest of a candidate that does not count."""
        store = Store(self.library, self.state)
        found = store.best(Path(target).name, "cpu", "float32", lambda accepted: accepted.digest != besides)
        return found.verdict.speedup or 1.0 if found is not None else 1.0

    def gains(self) -> Gains:
        """What each open idea should gain, by what is known now."""
        shares, best = self.shares, self.best

        def gain(entry: Entry) -> float | None:
            if shares is None or entry.outcome is not None:
                return None
            return expected_gain(entry.idea, shares, best.get(entry.idea.target, 1.0))

        return gain

    def describe(self, entry: Entry, gains: Gains | None = None) -> dict[str, Any]:
        return {**entry.as_json(self.queue.now), "expected_gain": (gains or self.gains())(entry)}

    def _order(self, entries: Iterable[Entry]) -> list[Entry]:
        shares = self.shares
        return by_filing(entries) if shares is None else by_gain(shares, self.best)(entries)

    def require_target(self, name: str) -> str:
        """The name of a target that exists: the library's, or the folder of somebody's own."""
        folder = find_target(name, self.library)
        return name if name in target_names(self.library) else str(folder.path)


def who(worker: str | None) -> str:
    return worker or f"{getpass.getuser()}@{socket.gethostname()}"
