"""What the clock gets wrong: identical kernels called faster, and true gains not seen.

Both sides are runners of the same source, windows, freezing and decision being those of a verdict. With a planted gain
the candidate's binding sweeps its rows that much less often and differs in nothing else.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernelsearch.compare.duel import Duel
from kernelsearch.digest import digest
from kernelsearch.spec import TargetFolder, read_candidate
from kernelsearch.timing.clock import Effort
from kernelsearch.timing.statistics import is_faster, noise, weighted_speedup

PLANTED = Path(__file__).parent / "planted"
REUSED = 10
WORK = {0: 1000, 1: 990, 3: 970, 5: 952}
"""Sweeps by the gain in percent that they are against 1000."""


@dataclass(frozen=True)
class Decisions:
    """`called_faster` of `decisions`; the true gain in percent; ratios at 5, 50 and 95%."""

    gain: int
    is_busy: bool
    decisions: int
    called_faster: int
    ratios: tuple[float, float, float]
    seconds: float

    @property
    def share(self) -> float:
        return self.called_faster / self.decisions

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def planted_duel(gain: int, cache_dir: Path, threads: int, rng: np.random.Generator) -> Duel:
    """Two runners of the planted kernel, the first with the gain."""
    folder = TargetFolder(PLANTED)
    source = read_candidate("planted", "cpp", (PLANTED / "kernel.cpp").read_text(), "scorecard")
    (workload,) = folder.workloads(None, "float32")
    sides = (source.bind(WORK=WORK[gain]), source.bind(WORK=WORK[0]))
    return Duel(folder, workload, sides, cache_dir=cache_dir, threads=threads, rng=rng)


def decide(duel: Duel, effort: Effort, rng: np.random.Generator) -> tuple[bool, float]:
    """Whether a verdict would call the first side faster, and the median ratio it saw."""
    samples = duel.measure(effort)
    interval = weighted_speedup([samples], [1.0], [1.0], rng)
    won = is_faster(interval, [samples], noise(samples, rng))
    return won, float(np.exp(np.median(samples.log_ratios())))


@dataclass(frozen=True)
class Dial:
    """One kind of decision to be repeated: the true gain in percent, and whether a neighbour keeps a core busy."""

    gain: int
    is_busy: bool = False

    def __post_init__(self) -> None:
        if self.gain not in WORK:
            raise ValueError(f"gain={self.gain}: choose from {sorted(WORK)} percent")


@dataclass(frozen=True)
class Setting:
    """What decisions depend on besides the dial; `journal` keeps one line each, so that a killed run goes on."""

    cache_dir: Path
    journal: Path
    threads: int
    harness: str
    effort: Effort

    def key(self, dial: Dial) -> str:
        return digest([dial.gain, dial.is_busy, self.threads, self.harness, asdict(self.effort)])


def measure_decisions(
    dial: Dial, decisions: int, setting: Setting, on_decision: Callable[[int, int], None] = lambda done, won: None
) -> Decisions:
    """Repeats the decision of a verdict between two runners of the same source; every tenth with new processes."""
    rows = _read(setting.journal, setting.key(dial))[:decisions]
    with busy_neighbour() if dial.is_busy else nullcontext():
        while len(rows) < decisions:
            rng = np.random.default_rng()
            with planted_duel(dial.gain, setting.cache_dir, setting.threads, rng) as duel:
                for _ in range(min(REUSED, decisions - len(rows))):
                    started = time.monotonic()
                    won, ratio = decide(duel, setting.effort, rng)
                    rows.append({"won": won, "ratio": ratio, "seconds": time.monotonic() - started})
                    _append(setting.journal, setting.key(dial), rows[-1])
                    on_decision(len(rows), sum(row["won"] for row in rows))
    low, middle, high = (float(q) for q in np.quantile([row["ratio"] for row in rows], (0.05, 0.5, 0.95)))
    called_faster = sum(row["won"] for row in rows)
    return Decisions(
        dial.gain, dial.is_busy, len(rows), called_faster, (low, middle, high), sum(row["seconds"] for row in rows)
    )


def _read(journal: Path, key: str) -> list[dict[str, Any]]:
    if not journal.is_file():
        return []
    data = journal.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):  # a killed writer left an unfinished line
        journal.write_bytes(whole)
    rows = [json.loads(line) for line in whole.splitlines()]
    return [row for row in rows if row["key"] == key]


def _append(journal: Path, key: str, row: dict[str, Any]) -> None:
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a") as file:
        file.write(json.dumps({"key": key, **row}) + "\n")


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Another program that keeps one core busy."""
    busy = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        busy.kill()
        busy.wait()
