"""`kernelsearch compare`: two commits' kernels, paired in one run; a gate for continuous integration."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernelsearch.cli.kernels import SHORT
from kernelsearch.cli.workplace import Workplace, open_workplace
from kernelsearch.compare import sides
from kernelsearch.compare.decision import LEAST_MEETINGS, Meeting
from kernelsearch.compare.examine import Examiner, Prove
from kernelsearch.compare.meeting import Gate
from kernelsearch.compare.pairs import Change, Pair, pair_up
from kernelsearch.compare.result import Comparison
from kernelsearch.errors import UsageError
from kernelsearch.report.comparison import render_comparison, write_comparison
from kernelsearch.report.comparisons import KIND, comparison_body
from kernelsearch.report.exports import write_benchmark_action, write_junit
from kernelsearch.report.text import open_console
from kernelsearch.spec import Status, Verdict, Workload
from kernelsearch.timing.environment import cpu_model


@dataclass(frozen=True)
class Request:
    """What the command line asked for; `tolerance` is a share, not percent."""

    base: str
    head: str | None
    targets: tuple[str, ...]
    workload: str | None
    dtype: str
    tolerance: float
    most_meetings: int
    is_noise_failure: bool
    is_proven: bool
    repository: Path
    kernels: str
    threads: int | None
    markdown: Path | None = None
    junit: Path | None = None
    benchmark_action: Path | None = None


def run(request: Request) -> tuple[dict[str, Any], int]:
    _check(request)
    place = open_workplace(request.threads)
    ledger = place.ledger  # read before the work: a damaged one is refused while there is nothing to lose
    with tempfile.TemporaryDirectory(prefix="kernelsearch-compare-") as scratch:
        comparison = compare(request, place, Path(scratch))
    open_console(stderr=True).print(render_comparison(comparison))
    _write_files(request, comparison)
    is_our_fault = any(
        row.verdict is not None and row.verdict.status is Status.INFRASTRUCTURE for row in comparison.rows
    )
    status = 3 if is_our_fault else 0 if comparison.holds else 1
    ledger.append(KIND, comparison_body(comparison, status))
    return comparison.as_json(), status


def compare(request: Request, place: Workplace, scratch: Path) -> Comparison:
    """Both sides read, paired and examined; progress goes to standard error."""
    started = time.monotonic()
    where = sides.Place(
        request.repository,
        request.kernels,
        place.library,
        scratch,
        request.targets[0] if len(request.targets) == 1 else None,
        request.dtype,
    )
    base, head = sides.read_side(request.base, where), sides.read_side(request.head, where)
    pairs = pair_up(base, head, request.targets)
    if not pairs:
        raise UsageError(
            f"target={', '.join(request.targets) or 'any'}: neither {base.name} nor {head.name} has a kernel"
        )
    console = open_console(stderr=True)

    def show(name: str, meeting: Meeting) -> None:
        state = "" if meeting.is_quiet else ", disturbed"
        console.print(f"  {name}: {meeting.ratio:.3f}x the old time{state}", markup=False)

    prover = _prover(place) if request.is_proven else None
    gate = Gate(request.tolerance, request.most_meetings, place.cache_dir, place.threads)
    examiner = Examiner(gate, prover, request.workload, show)
    rows = []
    for pair in pairs:
        if pair.change is not Change.SAME:
            console.print(_announce(pair), markup=False)
        rows.append(examiner.examine(pair))
    return Comparison(
        base=base.label,
        head=head.label,
        device=cpu_model(),
        threads=place.threads,
        tolerance=request.tolerance,
        is_noise_failure=request.is_noise_failure,
        rows=tuple(rows),
        seconds=time.monotonic() - started,
        environment=dict(place.environment()),
        base_commit=base.commit,
        head_commit=head.commit,
    )


def _prover(place: Workplace) -> Prove:
    """The whole judge with the short care of a second look: every gate, and whether its figures can be true."""

    def prove(kernel: sides.Kernel, workloads: tuple[Workload, ...]) -> Verdict:
        judge = replace(place.judge(kernel.folder, kernel.dtype, workloads), care=SHORT)
        try:
            return judge.judge(kernel.candidate)
        finally:
            judge.close()

    return prove


def _announce(pair: Pair) -> str:
    return f"{pair.kernel.target} {pair.kernel.name}: {pair.change}"


def _check(request: Request) -> None:
    if not 0 < request.tolerance < 1:
        raise UsageError(f"tolerance={100 * request.tolerance:g}: give percent above 0 and below 100, such as 2.5")
    if request.most_meetings < LEAST_MEETINGS:
        raise UsageError(f"meetings={request.most_meetings}: a decision takes at least {LEAST_MEETINGS}")
    for file in (request.markdown, request.junit, request.benchmark_action):
        if file is not None and not file.resolve().parent.is_dir():
            raise UsageError(f"{str(file)!r}: its folder does not exist")


def _write_files(request: Request, comparison: Comparison) -> None:
    if request.markdown is not None:
        request.markdown.write_text(write_comparison(comparison))
    if request.junit is not None:
        request.junit.write_text(write_junit(comparison))
    if request.benchmark_action is not None:
        request.benchmark_action.write_text(write_benchmark_action(comparison))
