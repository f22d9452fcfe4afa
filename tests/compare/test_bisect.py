"""The search for the commit that made a kernel slower, with a comparer that reads its answer from the source."""

import re
from pathlib import Path

import pytest

from kernelsearch.cli import bisect as command
from kernelsearch.compare.bisect import Answer, bisect
from kernelsearch.compare.sides import commits_touching
from kernelsearch.ledger import read_lines
from tests.compare.conftest import SOURCE


def history_of(repository, costs: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """The good commit, and one commit for each cost, with others between that leave the target alone."""
    good = repository.commit("good")
    for number, cost in enumerate(costs):
        repository.accept(SOURCE + f"// cost: {cost} {number}\n")
        repository.commit(f"kernel {number}")
        (repository.path / "notes").write_text(str(number))
        repository.commit("notes")
    return good, commits_touching(repository.path, "kernels/row_sum", good, "HEAD")


def reader(repository):
    def ask(commit: str) -> tuple[Answer, str]:
        source = repository.git("show", f"{commit}:kernels/row_sum/accepted/cpu-cpp-float32/kernel.cpp")
        cost = re.findall(r"cost: (\w+)", source)[0]
        return {"low": Answer.FINE, "high": Answer.SLOWER, "noise": Answer.OPEN}[cost], cost

    return ask


@pytest.mark.parametrize("first_slow", [0, 3, 6])
def test_the_first_slow_commit_is_found(repository, first_slow):
    _, commits = history_of(repository, ["low"] * first_slow + ["high"] * (7 - first_slow))
    found = bisect(commits, reader(repository))
    assert found.suspects == (commits[first_slow],)
    assert commits[first_slow][1] == f"kernel {first_slow}"
    assert len(found.steps) <= 4


def test_a_bad_commit_that_is_not_slower_ends_the_search_at_once(repository):
    _, commits = history_of(repository, ["low"] * 4)
    found = bisect(commits, reader(repository))
    assert (found.suspects, len(found.steps)) == ((), 1)


def test_where_it_cannot_be_told_the_commits_that_are_left_are_named(repository):
    _, commits = history_of(repository, ["low", "noise", "noise", "high"])
    found = bisect(commits, reader(repository))
    assert found.suspects == tuple(commits)
    assert not found.is_exact


def test_the_command_names_the_commit(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(command, "_asker", lambda *_: reader(repository))
    good, commits = history_of(repository, ["low", "high", "high"])
    request = command.Request("row_sum", good, "HEAD", None, "float32", 0.025, 5, Path(repository.path), "kernels", 1)
    document, status = command.run(request)
    assert (status, document["found"], document["commits"]) == (0, commits[1][0], 3)
    (line,) = read_lines(tmp_path / "home" / "ledger.jsonl")
    assert (line.body["base_commit"], line.body["sentence"], line.body["status"]) == (good, document["message"], 0)


WORK = """
    volatile float burnt = 0;
    for (int64_t i = 0; i < N * 400; i++) burnt = burnt + 1.0f;
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_kernels_are_bisected(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path / "home"))
    good = repository.commit("good")
    body = "    for (int64_t n = 0; n < N; n++) {\n        float sum = 0;"
    assert SOURCE.count(body) == 1
    for number, source in enumerate([SOURCE, SOURCE.replace(body, WORK + body), SOURCE.replace(body, WORK + body)]):
        repository.accept(source + f"// {number}\n")
        repository.commit(f"kernel {number}")
    request = command.Request("row_sum", good, "HEAD", None, "float32", 0.025, 5, Path(repository.path), "kernels", 1)
    document, status = command.run(request)
    assert (status, document["suspects"][0]["subject"]) == (0, "kernel 1")
    (line,) = read_lines(tmp_path / "home" / "ledger.jsonl")
    outcomes = [timing["outcome"] for kernel in line.body["kernels"] for timing in kernel["timings"]]
    assert outcomes.count("slower") == 2
