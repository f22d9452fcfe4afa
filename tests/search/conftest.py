"""The stub judge and the seeds of the conformance suite, for the other tests of search."""

import pytest

from kernelsearch.search.conformance import Judge, hill, make_seed, make_verdict
from kernelsearch.spec import Candidate

__all__ = ["Judge", "hill", "make_seed", "make_verdict"]


@pytest.fixture
def seeds() -> list[Candidate]:
    return [make_seed("a", X=[0, 1, 2, 3, 4, 5], Y=[4, 0, 8]), make_seed("b", Z=[1, 2]), make_seed("c")]
