"""The corpora: what is judged, and with which answer it ought to end.

Honest kernels are the targets' seeds and sources written by hand, at several values of their tunables; mutants are made
of the same sources at their defaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelsearch.digest import digest
from kernelsearch.scorecard.mutate import Base, Mutant, choose_mutants
from kernelsearch.spec.candidate import Candidate, Value, bindings, read_candidate
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import SCALAR_DTYPES

BINDINGS_EACH = 3


@dataclass(frozen=True)
class Subject:
    """A kernel to be judged in one dtype; `mutant` is None for an honest one."""

    folder: TargetFolder
    base: Base
    candidate: Candidate
    dtype: str
    mutant: Mutant | None = None

    @property
    def kind(self) -> str:
        return "honest" if self.mutant is None else "mutant"

    def key(self, harness: str, attempt: int) -> str:
        """Identity of one verdict: kernel, dtype, what judges it, and which repetition this is."""
        return digest([self.kind, self.candidate.digest, self.dtype, harness, self.folder.contract_digest, attempt])


def bases_of(folders: Sequence[TargetFolder], honest_dir: Path) -> list[Base]:
    """Every seed, and every C++ file in a target's folder below `honest_dir`."""
    found = []
    for folder in folders:
        name = folder.target.name
        sources = folder.seeds("cpp") | {p.stem: p.read_text() for p in sorted((honest_dir / name).glob("*.cpp"))}
        found += [Base(name, stem, source) for stem, source in sources.items()]
    return found


def honest_subjects(folders: Sequence[TargetFolder], honest_dir: Path) -> list[Subject]:
    """Each base at up to three bindings of its tunables (first, middle, last of the list) in every dtype."""
    by_name = {folder.target.name: folder for folder in folders}
    found = []
    for base in bases_of(folders, honest_dir):
        candidate = read_candidate(base.target, base.language, base.source, base.name)
        for values in _spread(bindings(base.source)):
            for dtype in SCALAR_DTYPES:
                found.append(Subject(by_name[base.target], base, candidate.bind(**values), dtype))
    return found


def mutant_subjects(folders: Sequence[TargetFolder], honest_dir: Path, quota: int) -> list[Subject]:
    by_name = {folder.target.name: folder for folder in folders}
    found = []
    for mutant in choose_mutants(bases_of(folders, honest_dir), quota):
        candidate = read_candidate(mutant.base.target, mutant.base.language, mutant.source, mutant.operator)
        found.append(Subject(by_name[mutant.base.target], mutant.base, candidate, mutant.dtype, mutant))
    return found


def _spread(values: list[dict[str, Value]]) -> list[dict[str, Value]]:
    places = sorted({round(i * (len(values) - 1) / (BINDINGS_EACH - 1)) for i in range(BINDINGS_EACH)})
    return [values[place] for place in places]
