"""Kernels that were accepted under another compiler or CPU: judged again once, before their first use."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kernelsearch.cli.kernels import is_admitted, leave_out, spans_of
from kernelsearch.cli.workplace import Workplace
from kernelsearch.dispatch.store import read_accepted
from kernelsearch.spec import TargetFolder, library_path

SHIPPED = library_path() / "adamw_step" / "accepted" / "cpu-cpp-float32"


@pytest.fixture
def place(tmp_path: Path):
    threads = torch.get_num_threads()
    yield Workplace(tmp_path, library_path(), 1, False)
    torch.set_num_threads(threads)


@pytest.fixture
def judged(monkeypatch):
    """The verdicts that judging again would give, in order; what is left over was not asked for."""
    verdicts = []
    monkeypatch.setattr("kernelsearch.cli.kernels.judge_again", lambda place, accepted: verdicts.pop(0))
    return verdicts


def foreign():
    accepted = read_accepted(SHIPPED)
    return replace(accepted, fingerprint={**accepted.fingerprint, "cpu": "elsewhere"})


def ask(place, accepted) -> bool:
    return is_admitted(place, TargetFolder(library_path() / "adamw_step"), accepted)


def test_a_kernel_from_elsewhere_is_judged_once_and_remembered(place, judged):
    judged += [replace(foreign().verdict, speedup=1.2), None]
    assert ask(place, foreign())
    assert ask(place, foreign())
    assert judged == [None]


def test_who_waits_for_a_kernel_to_be_judged_again_is_told_why_and_what_came_of_it(place, judged, capsys):
    judged.append(replace(foreign().verdict, status="MISMATCH"))
    ask(place, foreign())
    said = capsys.readouterr().err
    assert "adamw_step: its kernel was judged with another " in said and "cpu" in said
    assert "MISMATCH" in said and "stays out" in said


@pytest.mark.parametrize("change", [{"status": "MISMATCH"}, {"speedup": 0.9}, {"speedup": None}])
def test_a_kernel_that_fails_or_is_slower_here_does_not_run(place, judged, change):
    judged.append(replace(foreign().verdict, **change))
    assert not ask(place, foreign())


def test_a_kernel_behind_a_rival_stays_out_unless_it_is_named(capsys):
    folders, kernels = (
        [TargetFolder(library_path() / "adamw_step")],
        {"adamw_step": replace(foreign(), behind={"x": 0.9})},
    )
    assert leave_out(folders, kernels) == {}
    assert "0.90x of x" in capsys.readouterr().err
    assert leave_out(folders, kernels, named=["adamw_step"]) == kernels


def test_kernels_for_the_parts_of_a_span_stay_out():
    names = ("relu2", "relu2_mlp", "attention")
    folders = [TargetFolder(library_path() / name) for name in names]
    assert list(leave_out(folders, dict.fromkeys(names, foreign()))) == ["relu2_mlp", "attention"]
    assert list(leave_out(folders, dict.fromkeys(("relu2", "attention"), foreign()))) == ["relu2", "attention"]


def test_the_spans_are_known_by_their_parts(place):
    assert spans_of(place.folders()) == {
        "linear_softcap_cross_entropy": ("softcap_cross_entropy",),
        "relu2_mlp": ("relu2",),
    }
