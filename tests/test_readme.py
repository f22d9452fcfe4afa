"""The README says what the result files say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_results_in_the_readme_are_those_in_bench_results():
    assert subprocess.run([sys.executable, str(ROOT / "scripts" / "readme_tables.py"), "--check"]).returncode == 0


def test_the_timed_shapes_are_those_of_nanochats_own_step():
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "capture_workloads.py"), "--check"], cwd=ROOT)
    assert done.returncode == 0
