"""The single queue of ideas. Its state is a fold over the ledger's lines, so nothing of it can be lost or altered.

    idea           {idea, like}                 filed; `like` names what it resembles where somebody insisted
    idea-claim     {id, worker, expires, idea}  one worker's until then
    idea-release   {id, worker}                 given back
    idea-close     {id, idea, outcome...}       tried; stays for whoever proposes next

Ideas that come with the targets need no line to be open. What is decided from the state (is it free? is it new?) is
decided while the ledger's lock is held, so two processes never claim the same idea. A worker that died leaves nothing
to clean up: its claim expires.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kernelsearch.errors import UsageError
from kernelsearch.ideas.entry import Claim, Entry, Outcome, outcome_from_json
from kernelsearch.ideas.similar import ALIKE, likeness
from kernelsearch.ledger import Ledger, Line
from kernelsearch.spec import Idea
from kernelsearch.spec.idea import idea_from_json

KINDS = ("idea", "idea-claim", "idea-release", "idea-close")
MAXIMUM_CLAIM_S = 7 * 24 * 3600.0
Order = Callable[[Iterable[Entry]], list[Entry]]


def utc() -> datetime:
    return datetime.now(UTC)


def by_filing(entries: Iterable[Entry]) -> list[Entry]:
    """The neutral order: first come, first served."""
    return sorted(entries, key=lambda entry: entry.number)


class Queue:
    """The queue in `ledger`, beside the ideas that come with the targets."""

    def __init__(
        self,
        ledger: Ledger,
        built_in: Iterable[Entry] = (),
        clock: Callable[[], datetime] = utc,
        order: Order = by_filing,
    ) -> None:
        self._ledger = ledger
        self._built_in = tuple(built_in)
        self._clock = clock
        self._order = order

    @property
    def now(self) -> datetime:
        return self._clock()

    def entries(self, state: str | None = None, target: str | None = None) -> list[Entry]:
        """What is in the queue now, best first."""
        self._ledger.refresh()
        return [entry for entry in self._order(self._fold().values()) if self._fits(entry, state, target, None)]

    def find(self, idea_id: str) -> Entry:
        """The idea whose id begins with `idea_id`."""
        self._ledger.refresh()
        return _find(self._fold(), idea_id)

    def add(self, idea: Idea, *, force: bool = False) -> Entry:
        """File an idea. Raises UsageError where it is there already, or without `force` where one like it is."""

        def make() -> Mapping[str, Any]:
            entries = self._fold()
            if idea.id in entries:
                raise UsageError(f"idea={idea.id} is there already, {entries[idea.id].state(self.now)}")
            like = resembling(idea, entries.values())
            if like is not None and not force:
                raise UsageError(
                    f"text is like that of idea {like.idea.id} ({like.state(self.now)}): {like.idea.text[:120]!r}. "
                    "If it is another idea, say what differs, or insist with --force"
                )
            return {"idea": idea.as_json(), "like": None if like is None else like.idea.id}

        self._ledger.append_if("idea", make)
        return self.find(idea.id)

    def claim(
        self,
        worker: str,
        seconds: float,
        *,
        target: str | None = None,
        device: str | None = None,
        idea_id: str | None = None,
    ) -> Entry | None:
        """The best open idea, or the one with `idea_id`, as this worker's for `seconds`; None where nothing is open.

        With `idea_id`, a claim that the worker still holds is renewed.
        """
        if not 0 < seconds <= MAXIMUM_CLAIM_S:
            raise UsageError(f"seconds={seconds:g}: a claim lasts at most {MAXIMUM_CLAIM_S:g} seconds")

        def make() -> Mapping[str, Any] | None:
            entries = self._fold()
            entry = (
                self._next(entries, target, device)
                if idea_id is None
                else self._free(_find(entries, idea_id), worker, "claim")
            )
            if entry is None:
                return None
            expires = (self.now + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
            return {"id": entry.idea.id, "worker": worker, "expires": expires, "idea": entry.idea.as_json()}

        line = self._ledger.append_if("idea-claim", make)
        return None if line is None else self.find(line.body["id"])

    def release(self, idea_id: str, worker: str) -> Entry:
        """Give a claim back."""
        return self._write("idea-release", idea_id, worker, lambda entry: {"id": entry.idea.id, "worker": worker})

    def close(self, idea_id: str, outcome: Outcome) -> Entry:
        """End an idea with what came of it. Raises UsageError where another worker holds it, or it is closed."""
        return self._write(
            "idea-close",
            idea_id,
            outcome.worker,
            lambda entry: {"id": entry.idea.id, "idea": entry.idea.as_json(), **outcome.as_json()},
        )

    def _write(self, kind: str, idea_id: str, worker: str, body: Callable[[Entry], Mapping[str, Any]]) -> Entry:
        def make() -> Mapping[str, Any]:
            return body(self._free(_find(self._fold(), idea_id), worker, kind.removeprefix("idea-")))

        line = self._ledger.append_if(kind, make)
        assert line is not None
        return self.find(line.body["id"])

    def _free(self, entry: Entry, worker: str, verb: str) -> Entry:
        """The entry, where this worker may touch it."""
        state = entry.state(self.now)
        if state == "closed":
            assert entry.outcome is not None
            raise UsageError(f"idea={entry.idea.id} is closed ({entry.outcome.outcome}): nothing to {verb}")
        if state == "claimed" and entry.claim is not None and entry.claim.worker != worker:
            raise UsageError(
                f"idea={entry.idea.id} is claimed by {entry.claim.worker!r} until {entry.claim.expires}: only they may "
                f"{verb} it before then"
            )
        return entry

    def _next(self, entries: Mapping[str, Entry], target: str | None, device: str | None) -> Entry | None:
        fitting = [e for e in entries.values() if self._fits(e, "open", target, device)]
        return next(iter(self._order(fitting)), None)

    def _fits(self, entry: Entry, state: str | None, target: str | None, device: str | None) -> bool:
        return (
            (state is None or entry.state(self.now) == state)
            and (target is None or entry.idea.target == target)
            and (device is None or entry.idea.device in ("any", device))
        )

    def _fold(self) -> dict[str, Entry]:
        entries = {entry.idea.id: replace(entry, number=number) for number, entry in enumerate(self._built_in)}
        lines = sorted((line for kind in KINDS for line in self._ledger.find(kind)), key=lambda line: line.sequence)
        for line in lines:
            _apply(entries, line)
        return entries


def resembling(idea: Idea, entries: Iterable[Entry]) -> Entry | None:
    """The idea of the same target that is most like this one, where it is ALIKE enough to be the same."""
    others = [entry for entry in entries if entry.idea.target == idea.target]
    nearest = max(others, key=lambda entry: likeness(entry.idea.text, idea.text), default=None)
    return nearest if nearest is not None and likeness(nearest.idea.text, idea.text) >= ALIKE else None


def _apply(entries: dict[str, Entry], line: Line) -> None:
    """One line's effect. An idea that came with an older version of the targets is known from the line itself."""
    idea = idea_from_json(line.body["idea"]) if "idea" in line.body else None
    key = line.body.get("id") or (idea.id if idea else "")
    if key not in entries:
        if idea is None:
            return
        entries[key] = Entry(idea, number=len(entries))
    if line.kind == "idea-claim":
        entries[key] = replace(entries[key], claim=Claim(line.body["worker"], line.body["expires"]))
    elif line.kind == "idea-release":
        entries[key] = replace(entries[key], claim=None)
    elif line.kind == "idea-close":
        entries[key] = replace(entries[key], claim=None, outcome=outcome_from_json({**line.body, "time": line.time}))


def _find(entries: Mapping[str, Entry], idea_id: str) -> Entry:
    found = [entry for key, entry in entries.items() if idea_id and key.startswith(idea_id)]
    if len(found) != 1:
        why = "no idea has this id" if not found else f"{len(found)} ideas have ids that begin so"
        raise UsageError(f"idea={idea_id!r}: {why}; see `kernelsearch ideas list`")
    return found[0]
