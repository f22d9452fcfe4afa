"""One kernel of a corpus judged: is it a kernel at all, is it its base in disguise, what does the judge say."""

import subprocess
import tempfile
import time
from dataclasses import dataclass, field
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
        try:
            artifact = self._object_code(subject, subject.candidate)
        except BuildError as error:
            return self._row(subject, attempt, "unbuilt", "", time.monotonic() - started, detail=str(error)[:200])
        if subject.mutant is not None and artifact == self._object_code(subject, self._base(subject)):
            return self._row(subject, attempt, "identical", artifact, time.monotonic() - started)
        group = subject.folder.workloads(None, subject.dtype)[0].group
        workloads = subject.folder.workloads(group, subject.dtype)
        judge = Judge(subject.folder, subject.dtype, workloads, self.cache_dir, self.threads, self.care)
        verdict = judge.prove(subject.candidate)
        if verdict.status is Status.INFRASTRUCTURE:
            raise Infrastructure(verdict.detail)
        rules = self._rules(subject) if self.with_rules and attempt == 0 else None
        outcome = "accepted" if verdict.passed else "refused"
        return self._row(subject, attempt, outcome, artifact, time.monotonic() - started, verdict=verdict, rules=rules)

    def _base(self, subject: Subject) -> Candidate:
        return read_candidate(subject.base.target, subject.base.language, subject.base.source, subject.base.name)

    def _object_code(self, subject: Subject, candidate: Candidate) -> str:
        artifact = cpp.build(subject.folder.target, candidate, subject.dtype, self.cache_dir)
        return object_code(artifact.path)

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

    def _row(
        self,
        subject: Subject,
        attempt: int,
        outcome: str,
        artifact: str,
        seconds: float,
        *,
        verdict: Verdict | None = None,
        rules: dict[str, bool] | None = None,
        detail: str = "",
    ) -> Row:
        mutant = subject.mutant
        gates = () if verdict is None else verdict.gates
        return Row(
            key=subject.key(self.harness, attempt),
            kind=subject.kind,
            target=subject.base.target,
            dtype=subject.dtype,
            base=subject.base.name,
            tunables=dict(subject.candidate.tunables),
            operator="" if mutant is None else mutant.operator,
            function="" if mutant is None else mutant.function,
            line=0 if mutant is None else mutant.line,
            before="" if mutant is None else mutant.before,
            after="" if mutant is None else mutant.after,
            digest=subject.candidate.digest if mutant is None else mutant.digest,
            split="" if mutant is None else mutant.split,
            attempt=attempt,
            outcome=outcome,
            status="" if verdict is None else verdict.status.value,
            detail=detail if verdict is None else verdict.detail,
            counterexample=None if verdict is None else verdict.counterexample,
            gate=next((g.name for g in gates if not g.passed), None),
            seconds=seconds if verdict is None else verdict.seconds,
            gates={g.name: g.seconds for g in gates},
            artifact=artifact,
            rules=rules,
        )


def object_code(path: Path) -> str:
    """Digest of what is loaded of a shared object: code and constants, not symbols nor build notes."""
    with tempfile.TemporaryDirectory() as scratch:
        stripped = Path(scratch) / "stripped.so"
        command = ["strip", "--strip-all", "-R", ".note.gnu.build-id", "-R", ".comment", "-o", str(stripped), str(path)]
        subprocess.run(command, check=True, capture_output=True)
        return digest_bytes(stripped.read_bytes())
