"""What `bench` concludes from its rows; its figures are measured by hand."""

from kernelsearch.cli.bench import find_rivals_ahead


def row(workload: str, name: str, **rivals: tuple[float, float]) -> dict:
    versus = {rival: {"speedup": middle, "low": 0.0, "high": high} for rival, (middle, high) in rivals.items()}
    return {"workload": workload, "pass": name, "vs": versus}


def test_a_rival_is_ahead_where_the_whole_interval_says_so():
    rows = [row("tiny/a", "forward", fused=(0.9, 0.95), compiled=(0.98, 1.01))]
    assert find_rivals_ahead(rows, {}) == {"tiny/a fused": 0.9}


def test_the_pass_that_training_runs_counts():
    rows = [row("tiny/a", "forward", fused=(0.9, 0.95)), row("tiny/a", "forward+backward", fused=(1.2, 1.3))]
    assert find_rivals_ahead(rows, {}) == {}


def test_what_was_not_measured_again_stays():
    rows = [row("tiny/a", "forward", eager=(2.0, 2.1), fused=(1.1, 1.2))]
    assert find_rivals_ahead(rows, {"tiny/a compile": 0.8, "tiny/a fused": 0.9}) == {"tiny/a compile": 0.8}
