"""Properties of the queue: one worker an idea, claims that expire, and nothing that was learned is lost."""

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kernelsearch.errors import UsageError
from kernelsearch.ideas import Entry, Measured, Outcome, Queue
from kernelsearch.ledger import Ledger, verify_chain
from kernelsearch.spec import Idea

START = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = (
    "keep the row in registers between both sweeps",
    "split the reduction over threads and add in fixed order",
    "replace division by a reciprocal made once",
)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def queue(path, clock) -> Queue:
    queue = Queue(Ledger(path), clock=clock)
    for text in TEXTS:
        queue.add(Idea(text, "relu2"))
    return queue


def test_claims_are_given_in_order_of_filing_until_nothing_is_open(queue):
    claimed = [queue.claim("w", 60) for _ in range(4)]
    assert [entry and entry.idea.text for entry in claimed] == [*TEXTS, None]


def claim_all(path: Path, worker: str) -> None:
    queue = Queue(Ledger(path))
    while queue.claim(worker, 600) is not None:
        pass


def test_two_processes_never_claim_the_same_idea(path):
    queue = Queue(Ledger(path))
    for number in range(12):
        queue.add(Idea(f"unroll by a factor of {number} steps", "relu2"), force=True)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=claim_all, args=(path, name)) for name in "ab"]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    ids = [line.body["id"] for line in Ledger(path).find("idea-claim")]
    assert (len(ids), len(set(ids)), [worker.exitcode for worker in workers]) == (12, 12, [0, 0])


def test_an_expired_claim_is_free_again(queue, clock):
    first = queue.claim("a", 60)
    clock.now += timedelta(seconds=61)
    assert queue.claim("b", 60).idea == first.idea


def test_a_claim_that_holds_is_refused_to_others_and_renewed_by_its_worker(queue, clock):
    first = queue.claim("a", 60)
    clock.now += timedelta(seconds=30)
    with pytest.raises(UsageError, match="claimed by 'a'"):
        queue.claim("b", 60, idea_id=first.idea.id)
    assert queue.claim("a", 60, idea_id=first.idea.id).claim.expires > first.claim.expires


def test_a_late_worker_cannot_close_what_another_has_claimed_since(queue, clock):
    first = queue.claim("late", 60)
    clock.now += timedelta(seconds=61)
    queue.claim("new", 60)
    with pytest.raises(UsageError, match="claimed by 'new'"):
        queue.close(first.idea.id, Outcome("slower", "late", ""))


def test_a_released_idea_is_open(queue):
    entry = queue.claim("a", 60)
    assert queue.release(entry.idea.id, "a").state(START) == "open"


def test_a_closed_idea_stays_with_what_was_measured(queue, path):
    entry = queue.claim("a", 60)
    outcome = Outcome("slower", "a", "", note="spills", measured=Measured(0.9, "judge", 0.95, 1.0))
    queue.close(entry.idea.id, outcome)
    kept = Queue(Ledger(path)).find(entry.idea.id).outcome
    assert (kept.note, kept.measured, kept.is_negative) == ("spills", outcome.measured, True)


def test_a_closed_idea_is_never_claimed_or_closed_again(queue):
    queue.close(queue.claim("a", 60).idea.id, Outcome("wrong", "a", ""))
    with pytest.raises(UsageError, match=r"closed \(wrong\)"):
        queue.close(Idea(TEXTS[0], "relu2").id, Outcome("faster", "a", ""))
    assert queue.claim("a", 60).idea.text == TEXTS[1]


def test_the_same_sentence_is_the_same_idea_and_is_not_filed_twice(queue):
    with pytest.raises(UsageError, match="there already"):
        queue.add(Idea(f"  {TEXTS[0]}\n", "relu2"), force=True)


def test_an_idea_in_nearly_the_same_words_needs_insistence(queue):
    again = Idea("keep rows in the registers between the two sweeps", "relu2")
    with pytest.raises(UsageError, match="--force"):
        queue.add(again)
    assert queue.add(again, force=True).idea == again


def test_the_same_words_for_another_target_are_another_idea(queue):
    assert queue.add(Idea(TEXTS[0], "mix_norm")).state(START) == "open"


def test_a_closed_near_duplicate_is_shown_to_who_proposes_it_again(queue):
    queue.close(queue.claim("a", 60).idea.id, Outcome("slower", "a", ""))
    with pytest.raises(UsageError, match=r"\(closed\): 'keep the row"):
        queue.add(Idea("keep rows in the registers between the two sweeps", "relu2"))


def test_ideas_that_come_with_the_targets_are_open_without_a_line(path):
    queue = Queue(Ledger(path), [Entry(Idea(TEXTS[0], "relu2"), 0, is_built_in=True)])
    assert (queue.claim("a", 60).is_built_in, len(Ledger(path))) == (True, 1)


def test_a_closed_idea_is_known_after_its_targets_dropped_it(path):
    queue = Queue(Ledger(path), [Entry(Idea(TEXTS[0], "relu2"), 0, is_built_in=True)])
    queue.close(queue.claim("a", 60).idea.id, Outcome("slower", "a", ""))
    assert [entry.idea.text for entry in Queue(Ledger(path)).entries("closed")] == [TEXTS[0]]


def test_only_ideas_for_the_device_at_hand_are_claimed(path):
    queue = Queue(Ledger(path))
    queue.add(Idea(TEXTS[0], "relu2", device="cuda"))
    assert (queue.claim("a", 60, device="cpu"), queue.claim("a", 60, device="cuda").idea.device) == (None, "cuda")


def test_the_queue_keeps_the_chain(queue, path):
    queue.close(queue.claim("a", 60).idea.id, Outcome("abandoned", "a", ""))
    assert verify_chain(path).lines == 5
