"""Series from result files: what is one thing over time, and what must never be joined."""

import json
import subprocess
from pathlib import Path

import pytest

from kernelsearch.errors import UsageError
from kernelsearch.report.history import read_history, write_history


def write_bench(results: Path, device: str, date: str, speedup: float, threads: int = 2) -> None:
    versus = {"speedup": speedup, "low": speedup - 0.1, "high": speedup + 0.1}
    row = {"target": "relu2", "workload": "tiny/relu2", "dtype": "float32", "pass": "forward", "kernel": "abc"}
    document = {"threads": threads, "results": [{**row, "vs": {"eager": versus, "compile": versus}}]}
    (results / device).mkdir(parents=True, exist_ok=True)
    (results / device / f"{date}-bench-tiny.json").write_text(json.dumps(document))


def ratios(results: Path, *, from_git: bool = False) -> dict[tuple[str, int | None], list[float]]:
    found = read_history(results, from_git=from_git)
    return {(one.device, one.threads): [point.ratio for point in one.points] for one in found}


def test_a_series_goes_over_dates(tmp_path):
    write_bench(tmp_path, "cpu-a", "2026-02-01", 1.5)
    write_bench(tmp_path, "cpu-a", "2026-01-01", 1.1)
    (one,) = read_history(tmp_path, from_git=False)
    assert ([p.date for p in one.points], one.trend) == (["2026-01-01", "2026-02-01"], "+36.4%")


def test_overlapping_intervals_are_no_trend(tmp_path):
    write_bench(tmp_path, "cpu-a", "2026-01-01", 1.1)
    write_bench(tmp_path, "cpu-a", "2026-02-01", 1.25)
    assert read_history(tmp_path, from_git=False)[0].trend == "intervals overlap"


def test_devices_and_numbers_of_threads_are_never_mixed(tmp_path):
    write_bench(tmp_path, "cpu-a", "2026-01-01", 1.1)
    write_bench(tmp_path, "cpu-b", "2026-01-02", 1.2)
    write_bench(tmp_path, "cpu-a", "2026-01-03", 1.3, threads=1)
    assert ratios(tmp_path) == {("cpu-a", 1): [1.3], ("cpu-a", 2): [1.1], ("cpu-b", 2): [1.2]}


def test_what_a_file_said_before_is_read_from_git(tmp_path):
    results = tmp_path / "bench" / "results"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    for speedup in (1.1, 1.4):
        write_bench(results, "cpu-a", "2026-01-01", speedup)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "measured"], check=True)
    write_bench(results, "cpu-a", "2026-01-02", 1.6)
    assert ratios(results, from_git=True) == {("cpu-a", 2): [1.1, 1.4, 1.6]}
    assert ratios(results) == {("cpu-a", 2): [1.4, 1.6]}


def test_markdown_has_a_section_for_each_device_and_every_run_if_asked(tmp_path):
    write_bench(tmp_path, "cpu-a", "2026-01-01", 1.1)
    write_bench(tmp_path, "cpu-b", "2026-01-02", 1.2)
    text = write_history(read_history(tmp_path, from_git=False), every_point=True)
    assert text.index("## cpu-a") < text.index("1.10x \\[1.00, 1.20\\]") < text.index("## cpu-b")
    assert text.count("| 2026-01-02 | not committed | 1.200x") == 1


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        read_history(tmp_path / "nowhere", from_git=False)
