"""A verdict that is interrupted or killed leaves no process, no file and no shared memory."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sandbox.candidates import HONEST, source

ROW_SUM = Path(__file__).parent / "row_sum"
# Compiled for long enough to be caught at it.
SLOW_TO_COMPILE = "".join(
    f"constexpr long f{i}(long n) {{ long s = 0; for (long k = 0; k < n; k++) s += k % 7; return s; }}\n"
    f"static const long v{i} = f{i}(250000 + {i});\n"
    for i in range(60)
)
SPINNING = source(forward="    for (volatile int go = 1; go;) {}\n")
CACHED = re.compile(r"cache/(cpp/../[0-9a-f]{64}\.so|hypothesis/.*|peaks/[0-9a-f]+\.json)")


class Place:
    """A state folder, a folder for temporary files and a working folder, all watched."""

    def __init__(self, folder: Path) -> None:
        self.home, self.temporary, self.work = folder / "home", folder / "temporary", folder / "work"
        for path in (self.home, self.temporary, self.work):
            path.mkdir()

    def check(self, text: str) -> subprocess.Popen[bytes]:
        file = self.home.parent / "candidate.cpp"
        file.write_text(text)
        command = [sys.executable, "-m", "kernelsearch", "check", str(file), "--target", str(ROW_SUM), "--json"]
        environment = {**os.environ, "KERNELSEARCH_HOME": str(self.home), "TMPDIR": str(self.temporary)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, cwd=self.work, stdout=pipe, stderr=pipe)

    def files(self) -> set[str]:
        found = (p for folder in (self.home, self.temporary, self.work) for p in folder.rglob("*"))
        return {str(p.relative_to(self.home.parent)).removeprefix("home/") for p in found if not p.is_dir()}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    """With everything native already compiled."""
    place = Place(tmp_path_factory.mktemp("leftovers"))
    _, errors = place.check(HONEST).communicate(timeout=100)
    assert (place.home / "cache" / "native").is_dir(), errors
    return place


def parents() -> dict[int, int]:
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    return found


def descendants(pid: int) -> set[int]:
    above = parents()
    found = {pid}
    while more := {child for child, parent in above.items() if parent in found} - found:
        found |= more
    return found - {pid}


def names(pids: set[int]) -> str:
    """Their command lines."""
    texts = []
    for pid in pids:
        try:
            texts.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            continue
    return "\n".join(texts)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


STAGES = {
    "compile": ("cc1plus", "// compile\n" + SLOW_TO_COMPILE + HONEST),
    "smoke": ("native/runner-", "// smoke\n" + SPINNING),
    "timing": ("baseline_worker", "// timing\n" + HONEST),
}


QUICK = [("compile", signal.SIGKILL), ("smoke", signal.SIGINT), ("timing", signal.SIGKILL)]
OTHERS = [(s, n) for s in STAGES for n in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL) if (s, n) not in QUICK]


@pytest.mark.parametrize(("stage", "number"), [*QUICK, *(pytest.param(*o, marks=pytest.mark.slow) for o in OTHERS)])
def test_a_verdict_that_is_stopped_leaves_nothing(place, stage, number):
    sign, text = STAGES[stage]
    before = place.files()
    check = place.check(f"// {number.name}\n" + text)
    reached = wait_until(lambda: sign in names(descendants(check.pid)) or check.poll() is not None, 60)
    assert reached and check.poll() is None, check.communicate()
    time.sleep(0.05)
    below = descendants(check.pid)
    check.send_signal(number)
    check.communicate(timeout=30)
    assert wait_until(lambda: not below & set(parents()), 5), names(below)
    assert {file for file in place.files() - before if not CACHED.fullmatch(file)} == set()
    assert not [name for name in os.listdir("/dev/shm") if str(check.pid) in name]
