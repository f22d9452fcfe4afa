"""`kernelsearch verify`: somebody's claim, checked here."""

from pathlib import Path
from typing import Any

from kernelsearch.cli.kernels import judge_again
from kernelsearch.cli.workplace import open_workplace
from kernelsearch.dispatch.store import PROVENANCE, read_accepted
from kernelsearch.errors import UsageError
from kernelsearch.ledger import verify_chain
from kernelsearch.report.text import open_console
from kernelsearch.report.verdict import render_verdict


def run(path: Path, threads: int | None) -> tuple[dict[str, Any], int]:
    console = open_console(stderr=True)
    if (path / PROVENANCE).is_file():
        place = open_workplace(threads)
        accepted = read_accepted(path)
        verdict = judge_again(place, accepted)
        console.print(render_verdict(verdict))
        claimed = accepted.verdict
        console.print(
            f"claimed {claimed.speedup:.2f}x, here " + (f"{verdict.speedup:.2f}x" if verdict.speedup else "-")
        )
        return verdict.as_json(), 0 if verdict.accepted else 1
    if path.is_file():
        report = verify_chain(path)
        console.print(f"{path}: {report.lines} lines, {report.trials} trials, every link holds", soft_wrap=True)
        return {"path": str(path), "lines": report.lines, "trials": report.trials, "intact": True}, 0
    raise UsageError(f"path={str(path)!r} is neither a ledger nor the folder of an accepted kernel")
