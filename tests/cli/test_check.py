"""What `check` records and keeps. The judge's answers are stood in for; what it does is tested where it lives."""

from pathlib import Path

import pytest

from kernelsearch.cli import check
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger
from kernelsearch.sandbox.judge import Judge
from kernelsearch.spec import Measurement, Status, Verdict

ROW_SUM = Path(__file__).parent.parent / "sandbox" / "row_sum"
SEED = ROW_SUM / "seeds" / "plain.cpp"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path))
    return tmp_path


def says(monkeypatch, method: str, **fields) -> None:
    measured = Measurement("tiny/a", "float32", "forward", 1.3, 1.2, 1.4, 1.0, 1.3, 0.5, 0.01, 9, 1.0)

    def answer(self, candidate, *rest) -> Verdict:
        figures = {"accepted": True, "measurements": (measured,), "speedup": 1.3, "low": 1.2, "high": 1.4}
        known = (candidate.target, candidate.digest, "cpp", "float32")
        return Verdict(*known, **{"status": Status.PASSED, "detail": "", "seconds": 1.0, **figures, **fields})

    monkeypatch.setattr(Judge, method, answer)


def run(**options) -> tuple[dict, int]:
    return check.run(check.Request(SEED, str(ROW_SUM), None, "float32", (), 1, **options))


def kinds(home: Path) -> list[str]:
    return [line.kind for line in Ledger(home / "ledger.jsonl")]


def test_a_check_is_recorded(home, monkeypatch):
    says(monkeypatch, "judge")
    assert run()[1] == 0
    assert kinds(home) == ["trial"]


def test_what_passed_the_cheap_gates_only_is_not_recorded(home, monkeypatch):
    says(monkeypatch, "screen", accepted=False)
    assert run(is_quick=True)[1] == 0
    assert kinds(home) == []


def test_what_is_accepted_twice_is_kept_and_not_judged_a_third_time(home, monkeypatch):
    says(monkeypatch, "judge")
    says(monkeypatch, "confirm", low=1.1)
    run()
    monkeypatch.delattr(Judge, "judge")
    answer, status = run(keeps=True)
    assert (status, answer["low"], kinds(home)) == (0, 1.1, ["trial", "confirmation"])
    assert Path(answer["stored"], "provenance.json").is_file()


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)])
def test_what_is_not_accepted_twice_is_not_kept(home, monkeypatch, first, second):
    says(monkeypatch, "judge", accepted=first)
    says(monkeypatch, "confirm", accepted=second)
    answer, status = run(keeps=True)
    assert (answer["stored"], status) == (None, 1)
    assert not (home / "store").exists()


def test_quick_and_keep_exclude_each_other(home):
    with pytest.raises(UsageError, match="never kept"):
        run(is_quick=True, keeps=True)
