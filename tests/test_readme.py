"""What scripts write is what they would write now; the generated pages are in tests/docs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_timed_shapes_are_those_of_nanochats_own_step():
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "capture_workloads.py"), "--check"], cwd=ROOT)
    assert done.returncode == 0
