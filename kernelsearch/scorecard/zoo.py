"""The zoo: one file for each known way to look right or fast without being it, and the gate that must stop it.

A zoo is a folder with a folder for each language. Every file begins with comment lines that say what it is:

    // exploit: T10 thread injection: answers at once, a thread fills the output later
    // target: row_sum
    // dtype: bfloat16            (float32 where this line is missing)
    // gate: smoke                the first gate that must fail
    // status: MISMATCH           the verdict; or "not accepted": may be right, must not be called faster
    // behind: properties PROPERTY    (optional) what stops it next when that gate is left out

Naming the gate makes the zoo a test of the gates: one that is deleted or weakened lets its exploits fail elsewhere.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from kernelsearch.errors import UsageError
from kernelsearch.sandbox.judge import Judge
from kernelsearch.spec.candidate import Candidate, read_candidate
from kernelsearch.spec.library import SUFFIXES
from kernelsearch.spec.record import Status, Verdict

NOT_ACCEPTED = "not accepted"
_LINE = re.compile(r"^(?://|#)\s*(\w+):\s*(.+?)\s*$")


@dataclass(frozen=True)
class Exploit:
    """One file of the zoo. `id` is the row of the catalogue, `behind` a gate and a status, `target` a target's name."""

    id: str
    title: str
    path: Path
    language: str
    target: str
    dtype: str
    gate: str
    status: str
    behind: tuple[str, str] | None
    source: str

    @property
    def name(self) -> str:
        return f"{self.language}/{self.path.stem}"

    @property
    def candidate(self) -> Candidate:
        return read_candidate(self.target, self.language, self.source, f"zoo {self.name}")


@dataclass(frozen=True)
class Outcome:
    """What became of an exploit: its verdict, the gate that failed (None if none did), and what that amounts to."""

    exploit: Exploit
    verdict: Verdict
    gate: str | None

    @property
    def is_stopped(self) -> bool:
        """Refuted; or, where only its speed is a lie, measured in full and not called faster."""
        verdict, wanted = self.verdict, self.exploit.status
        if wanted == NOT_ACCEPTED and verdict.passed:
            return not verdict.accepted and verdict.low is not None and verdict.low <= 1.0
        # Our own failure to judge stops nothing, unless that is what a file asks for.
        return not verdict.passed and (verdict.status is not Status.INFRASTRUCTURE or wanted == verdict.status)

    @property
    def is_as_named(self) -> bool:
        """Stopped by the gate that the file names, and with its status; "smoke or properties" where chance decides."""
        if not self.is_stopped:
            return False
        if self.exploit.status == NOT_ACCEPTED:
            return self.gate is None
        is_gate = self.gate in self.exploit.gate.split(" or ")
        return is_gate and str(self.verdict.status) in self.exploit.status.split(" or ")


def stop(exploit: Exploit, judge: Judge) -> Outcome:
    """Judges the exploit; by the clock only if the clock is what must stop it."""
    ask = judge.judge if exploit.gate == "timing" else judge.prove
    verdict = ask(exploit.candidate)
    return Outcome(exploit, verdict, next((gate.name for gate in verdict.gates if not gate.passed), None))


def stop_without(exploit: Exploit, judge: Judge, gate: str) -> Outcome:
    """The same with one gate left out: what is behind it."""
    return stop(exploit, replace(judge, without=judge.without | {gate}))


def read_zoo(folder: Path) -> tuple[Exploit, ...]:
    """Every exploit of a zoo, by language and name. Raises UsageError naming the file whose head is incomplete."""
    return tuple(
        read_exploit(file, language)
        for language, suffix in SUFFIXES.items()
        for file in sorted((folder / language).glob(f"*{suffix}"))
    )


def read_exploit(file: Path, language: str) -> Exploit:
    source = file.read_text()
    said = _head(source)
    missing = [key for key in ("exploit", "target", "gate", "status") if key not in said]
    if missing:
        raise UsageError(f"{file}: the first lines lack {', '.join(missing)}; see kernelsearch/scorecard/zoo.py")
    row, _, title = said["exploit"].partition(" ")
    if said["status"] != NOT_ACCEPTED and not set(said["status"].split(" or ")) <= set(Status):
        raise UsageError(f"{file}: status={said['status']!r} is neither a verdict's status nor {NOT_ACCEPTED!r}")
    gate, _, status = said.get("behind", "").rpartition(" ")
    return Exploit(
        id=row,
        title=title,
        path=file,
        language=language,
        target=said["target"],
        dtype=said.get("dtype", "float32"),
        gate=said["gate"],
        status=said["status"],
        behind=(gate, status) if gate else None,
        source=source,
    )


def _head(source: str) -> dict[str, str]:
    """`key: value` of the comment lines that a file begins with."""
    said: dict[str, str] = {}
    for line in source.splitlines():
        found = _LINE.match(line)
        if found is None:
            break
        said.setdefault(*found.groups())
    return said
