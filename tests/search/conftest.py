"""A stub judge: deterministic verdicts without building anything."""

from collections.abc import Callable

import pytest

from kernelsearch.spec import Candidate, Status, Verdict, read_candidate


def seed_source(name: str, **tunables: list[int]) -> str:
    lines = [f"// tune: {key} in {' '.join(map(str, values))}" for key, values in tunables.items()]
    return "\n".join([*lines, f"// {name}"])


def make_seed(name: str, **tunables: list[int]) -> Candidate:
    return read_candidate("toy", "cpp", seed_source(name, **tunables), name)


def make_verdict(candidate: Candidate, low: float | None, status: Status = Status.PASSED) -> Verdict:
    accepted = status is Status.PASSED and low is not None and low > 1
    return Verdict("toy", candidate.digest, "cpp", "float32", status, "", 0.0, accepted=accepted, low=low, high=low)


class Judge:
    """Counts what it judged; `low` gives the score of a candidate, None a rejection."""

    def __init__(self, low: Callable[[Candidate], float | None]) -> None:
        self.low = low
        self.judged: list[str] = []

    def __call__(self, candidate: Candidate, to_beat: float | None = None) -> Verdict:
        self.judged.append(candidate.digest)
        low = self.low(candidate)
        return make_verdict(candidate, low, Status.MISMATCH if low is None else Status.PASSED)


def hill(candidate: Candidate) -> float | None:
    """One optimum at the middle of every tunable; a corner is rejected."""
    score = 2.0 - sum(abs(value - 4) for value in candidate.tunables.values()) / 10
    return None if score < 1.0 else score


@pytest.fixture
def seeds() -> list[Candidate]:
    return [make_seed("a", X=[0, 1, 2, 3, 4, 5], Y=[4, 0, 8]), make_seed("b", Z=[1, 2]), make_seed("c")]
