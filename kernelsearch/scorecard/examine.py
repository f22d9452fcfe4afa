"""One kernel of a corpus judged: is it a kernel at all, is it its base in disguise, what does the judge say."""

import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from kernelsearch.build import cpp
from kernelsearch.digest import digest_bytes
from kernelsearch.errors import BuildError, Infrastructure
from kernelsearch.sandbox.execution import Execution
from kernelsearch.sandbox.judge import SMALL_REGION_BYTES, Care, Judge
from kernelsearch.scorecard.corpus import Subject
from kernelsearch.scorecard.journal import Row
from kernelsearch.scorecard.rules import RULES, rival_verdicts
from kernelsearch.spec.candidate import Candidate, read_candidate
from kernelsearch.spec.record import Status, Verdict
from kernelsearch.verify.run import CandidateFailure


@dataclass(frozen=True)
class Examination:
    """How to judge a corpus: threads of a kernel (races need two), effort, and whether the rivals' rules are asked."""

    cache_dir: Path
    harness: str
    threads: int = 2
    care: Care = field(default_factory=Care)
    with_rules: bool = True

    def examine(self, subject: Subject, attempt: int) -> Row:
        """The subject's row. Raises Infrastructure where the judge itself failed: no verdict follows from that."""
        started = time.monotonic()
        row = Row.of(subject, subject.key(self.harness, attempt), attempt)
        try:
            built = self._build(subject, subject.candidate)
        except BuildError as error:
            return replace(row, outcome="unbuilt", detail=str(error)[:200], seconds=time.monotonic() - started)
        build_s = time.monotonic() - started
        row = replace(row, artifact=object_code(built), seconds=build_s)
        if subject.mutant is not None and row.artifact == object_code(self._build(subject, _base_of(subject))):
            return replace(row, outcome="identical")
        verdict = self._judge(subject).prove(subject.candidate)
        if verdict.status is Status.INFRASTRUCTURE:
            raise Infrastructure(verdict.detail)
        rules = self._rules(subject) if self.with_rules and attempt == 0 else None
        return replace(with_verdict(row, verdict, build_s), rules=rules)

    def _build(self, subject: Subject, candidate: Candidate) -> Path:
        return cpp.build(subject.folder.target, candidate, subject.dtype, self.cache_dir).path

    def _judge(self, subject: Subject) -> Judge:
        group = subject.folder.workloads(None, subject.dtype)[0].group
        workloads = subject.folder.workloads(group, subject.dtype)
        return Judge(subject.folder, subject.dtype, workloads, self.cache_dir, self.threads, self.care)

    def _rules(self, subject: Subject) -> dict[str, bool]:
        rng = np.random.default_rng()
        torch.set_num_threads(1)
        try:
            with Execution(
                subject.folder.target,
                subject.candidate,
                subject.dtype,
                region_bytes=SMALL_REGION_BYTES,
                cache_dir=self.cache_dir,
                threads=self.threads,
                rng=rng,
            ) as run:
                return rival_verdicts(subject.folder, subject.dtype, run, rng)
        except CandidateFailure:
            return dict.fromkeys(RULES, False)


def with_verdict(row: Row, verdict: Verdict, build_s: float) -> Row:
    """The row with the judge's answer; the build, done before it, is counted with its gate and its seconds."""
    gates = {gate.name: gate.seconds for gate in verdict.gates}
    return replace(
        row,
        outcome="accepted" if verdict.passed else "refused",
        status=verdict.status.value,
        detail=verdict.detail,
        counterexample=verdict.counterexample,
        gate=next((gate.name for gate in verdict.gates if not gate.passed), None),
        seconds=verdict.seconds + build_s,
        gates=gates | {"build": gates.get("build", 0.0) + build_s},
    )


def _base_of(subject: Subject) -> Candidate:
    base = subject.base
    return read_candidate(base.target, base.language, base.source, base.name)


def object_code(path: Path) -> str:
    """Digest of what is loaded of a shared object: code and constants, not symbols nor build notes."""
    with tempfile.TemporaryDirectory() as scratch:
        stripped = Path(scratch) / "stripped.so"
        command = ["strip", "--strip-all", "-R", ".note.gnu.build-id", "-R", ".comment", "-o", str(stripped), str(path)]
        subprocess.run(command, check=True, capture_output=True)
        return digest_bytes(stripped.read_bytes())
