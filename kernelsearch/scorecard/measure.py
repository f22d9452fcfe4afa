"""Judges whole corpora in worker processes, resumably, and sums the verdicts up."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from kernelsearch.dispatch.fingerprint import harness_digest
from kernelsearch.errors import Infrastructure
from kernelsearch.scorecard.corpus import Subject, honest_subjects, mutant_subjects
from kernelsearch.scorecard.examine import Examination
from kernelsearch.scorecard.journal import Row, append_row, read_rows
from kernelsearch.scorecard.result import CorporaResult, summarise
from kernelsearch.spec.library import TargetFolder
from kernelsearch.timing.allocator import keep_freed_memory

QUOTA = 200  # mutants of each target and dtype, before those that do not compile or change nothing are left out
HONEST_ROUNDS = 2
REPEATED_SHARE = 8  # every eighth mutant is judged twice
VERDICTS_A_POOL = 250
Question = tuple[Subject, int]
Progress = Callable[[Row, int, int], None]


def measure_corpora(
    folders: Sequence[TargetFolder],
    honest_dir: Path,
    state_dir: Path,
    cache_dir: Path,
    *,
    quota: int = QUOTA,
    workers: int = 1,
    progress: Progress = lambda row, done, total: None,
) -> CorporaResult:
    """Every verdict of the corpora, from `state_dir`/verdicts.jsonl where this harness already reached it.

    `progress` hears of every new row, how many are done and how many there are. An interrupted call goes on where it
    stopped. Raises Infrastructure where the judge itself fails; what was judged until then is kept.
    """
    examination = Examination(cache_dir, harness_digest())
    questions = corpus_questions(folders, honest_dir, quota)
    rows = answer(questions, examination, state_dir / "verdicts.jsonl", workers=workers, progress=progress)
    return summarise(rows, examination.harness)


def corpus_questions(folders: Sequence[TargetFolder], honest_dir: Path, quota: int) -> list[Question]:
    """Honest kernels and mutants once each, then the repetitions that show flakes.

    In order of digests, so that what is done when a run is interrupted is a fair sample of the rest.
    """
    honest, mutants = honest_subjects(folders, honest_dir), mutant_subjects(folders, honest_dir, quota)
    again = [(subject, attempt) for attempt in range(1, HONEST_ROUNDS) for subject in honest]
    again += [(subject, 1) for subject in mutants[::REPEATED_SHARE]]
    once = sorted((*honest, *mutants), key=lambda subject: subject.candidate.digest)
    return [*((subject, 0) for subject in once), *again]


def answer(
    questions: Sequence[Question],
    examination: Examination,
    journal: Path,
    *,
    workers: int = 1,
    progress: Progress = lambda row, done, total: None,
) -> list[Row]:
    """The rows of all questions in their order; each new one is on disk before the next is reported."""
    known = read_rows(journal)
    keys = [subject.key(examination.harness, attempt) for subject, attempt in questions]
    found = {key: known[key] for key in keys if key in known}
    missing = {key: question for key, question in zip(keys, questions, strict=True) if key not in found}
    for row in _examine_all(list(missing.values()), examination, workers):
        append_row(journal, row)
        found[row.key] = row
        progress(row, len(found), len(set(keys)))
    return [found[key] for key in dict.fromkeys(keys)]


def _examine_all(questions: list[Question], examination: Examination, workers: int) -> Iterator[Row]:
    """Rows as they come. Workers are replaced now and then: what a judge's process loads is never given back."""
    for start in range(0, len(questions), VERDICTS_A_POOL):
        yield from _examine_some(questions[start : start + VERDICTS_A_POOL], examination, workers)


def _examine_some(questions: list[Question], examination: Examination, workers: int) -> Iterator[Row]:
    """Rows as they come from one pool; spawned, because a process that holds torch's threads must not be forked."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=keep_freed_memory) as pool:
        try:
            asked = [pool.submit(examination.examine, _portable(subject), attempt) for subject, attempt in questions]
            for future in as_completed(asked):
                yield future.result()
        except BrokenProcessPool:
            raise Infrastructure("a worker of the scorecard died; call again to go on where it stopped") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _portable(subject: Subject) -> Subject:
    """Without the folder's loaded modules, which cannot be pickled."""
    return replace(subject, folder=TargetFolder(subject.folder.path))
