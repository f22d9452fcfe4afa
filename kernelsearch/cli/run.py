"""`kernelsearch run`: somebody else's nanochat, unmodified, with the kernels that won, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from kernelsearch.cli.train import describe_shadow
from kernelsearch.cli.trainer import choose_kernels
from kernelsearch.cli.workplace import open_workplace, require_device
from kernelsearch.errors import UsageError
from kernelsearch.report.text import foreign, open_console

LAUNCHER = "kernelsearch.dispatch.upstream.launch"
SWITCH = "KERNELSEARCH"
DTYPE_VARIABLE = "NANOCHAT_DTYPE"


@dataclass(frozen=True)
class Request:
    """`command` is what follows `--`: -m MODULE or a file, and its arguments. `shadow` is a rate."""

    repo: Path
    command: tuple[str, ...]
    kernels: str
    group: str | None
    targets: tuple[str, ...]
    shadow: float | None
    trust: Path | None
    json_file: Path | None
    is_identity: bool
    keeps_memory: bool
    device: str = "cpu"


def run(request: Request) -> tuple[dict[str, Any], int]:
    refuse(request)
    order = make_order(request)
    with tempfile.TemporaryDirectory(prefix="kernelsearch-run-") as scratch:
        report_file = Path(scratch) / "report.json"
        status = start({**order, "report": str(report_file)})
        report = read_report(report_file)
    answer = {"status": status, "enabled": order["enabled"], **report}
    if os.environ.get("RANK", "0") == "0":
        show(answer)
        if request.json_file is not None:
            request.json_file.write_text(json.dumps(answer, indent=2) + "\n")
    return answer, status


def refuse(request: Request) -> None:
    """Whatever can be seen to be wrong before anything is judged or started."""
    if not request.repo.is_dir():
        raise UsageError(f"repo={str(request.repo)!r}: give the folder of a nanochat checkout")
    if not request.command or request.command == ("-m",):
        raise UsageError("command='': say what to run after --, such as -- -m scripts.base_train --depth=4")
    require_device(request.device)
    if request.shadow is not None and not 0 < request.shadow <= 1:
        raise UsageError(f"shadow={request.shadow:g}: give a share of the calls above 0 and at most 1")
    if request.json_file is not None and not request.json_file.absolute().parent.is_dir():
        raise UsageError(f"json={str(request.json_file)!r}: its folder does not exist; make it first")


def make_order(request: Request) -> dict[str, Any]:
    """What the launcher is told; kernels that were judged elsewhere are judged here first."""
    enabled = os.environ.get(SWITCH) != "0"
    place = open_workplace(None)
    digests: list[str] = []
    if enabled and not request.is_identity:
        # Upstream chooses bfloat16 by itself on a GPU, and on a CPU where the variable says so.
        is_narrow = os.environ.get(DTYPE_VARIABLE, "bfloat16" if request.device == "cuda" else "") == "bfloat16"
        dtypes = ["float32"] + ["bfloat16"] * is_narrow
        for dtype in dtypes:
            found = choose_kernels(place, request.kernels, request.group, dtype, request.targets, request.device)
            digests += [accepted.digest for accepted in found.values()]
    return {
        "repo": str(request.repo.resolve()),
        "command": list(request.command),
        "enabled": enabled,
        "tune_allocator": request.keeps_memory,
        "library": str(place.library),
        "state_dir": str(place.state_dir),
        "digests": sorted(digests),
        "identity": request.is_identity,
        "shadow": request.shadow,
        "trusted": read_trusted(request.trust),
        "device": request.device,
    }


def read_trusted(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"trust={str(file)!r}: cannot be read as JSON ({error})") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise UsageError(f"trust={str(file)!r}: give an object of symbols and digests, as `drifted` of --json has them")
    return found


def start(order: dict[str, Any]) -> int:
    """The script's exit status; 128 and the signal's number where one ended it. Ctrl-C reaches the script itself."""
    child = subprocess.Popen([sys.executable, "-m", LAUNCHER, json.dumps(order)])
    while True:
        try:
            status = child.wait()
        except KeyboardInterrupt:
            continue
        return status if status >= 0 else 128 - status


def read_report(file: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}  # the script was killed, or left without unwinding
    return report


def show(answer: dict[str, Any]) -> None:
    console = open_console(stderr=True)
    if not answer["enabled"]:
        console.print(f"kernelsearch: turned off by {SWITCH}=0")
        return
    if "patched" not in answer:
        console.print("kernelsearch: the script ended before it could say which kernels ran")
        return
    table = Table("entry", "kernel", "forward", "backward", "fell back to upstream's own", box=None)
    for name, kernel in answer["kernels"].items():
        launches = kernel["launches"]
        missed = ", ".join(f"{count} x {reason}" for reason, count in kernel["fallbacks"].items())
        numbers = str(launches["forward"]), str(launches["backward"])
        table.add_row(name, kernel["digest"][:12], *numbers, foreign(missed or "-"))
    for entry, count in answer["original_calls"].items():
        table.add_row(entry, "identity", "-", "-", f"{count} x identity")
    for entry, reason in answer["reasons"].items():
        table.add_row(entry, "none", "-", "-", foreign(reason))
    console.print(table)
    for symbol, patch in answer["patched"].items():
        missed = ", ".join(f"{count} x {reason}" for reason, count in patch["fallbacks"].items())
        console.print(f"patched {symbol}" + (f"; upstream's own ran {missed}" if missed else ""), markup=False)
    for symbol, reason in answer["left_alone"].items():
        console.print(f"left alone {symbol}: {reason}", markup=False)
    for name, kernel in answer["kernels"].items():
        if "shadow" in kernel:
            console.print(f"shadow {name}: {describe_shadow(kernel['shadow'])}", markup=False)
