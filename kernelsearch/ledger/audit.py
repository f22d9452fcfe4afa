"""Cheap re-checks of somebody else's ledger: the chain and the digests, without judging anything again.

They change nothing, so they work on a read-only copy. That the digests hold says only that nothing was altered after
writing, not that what was written is true: for that a trial is judged again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kernelsearch.errors import UsageError
from kernelsearch.ledger.chain import TRIAL, checked, has_whole_record
from kernelsearch.ledger.line import GENESIS, Line, decode_line


@dataclass(frozen=True)
class ChainReport:
    """What a ledger holds, all of it checked. `unfinished_bytes` is what a killed writer left at the end."""

    path: Path
    lines: int
    trials: int
    head: str
    unfinished_bytes: int


def verify_chain(path: Path) -> ChainReport:
    """Check every line of the ledger at `path`. Raises CorruptState at the first that differs."""
    lines = list(read_lines(path))
    return ChainReport(
        path=path,
        lines=len(lines),
        trials=sum(line.kind == TRIAL for line in lines),
        head=lines[-1].digest if lines else GENESIS,
        unfinished_bytes=len(_unfinished(path.read_bytes())),
    )


def read_lines(path: Path) -> Iterator[Line]:
    """The checked lines of the ledger at `path`, an unfinished last one left out."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"ledger={str(path)!r} cannot be read: {error.strerror}") from None
    tail = _unfinished(data)
    whole = data[: len(data) - len(tail)]
    if has_whole_record(tail):
        whole += tail + b"\n"  # checked as a line of its own, and refused
    previous = GENESIS
    for sequence, raw in enumerate(whole.split(b"\n")[:-1]):
        line = checked(raw, sequence, previous, path)
        previous = line.digest
        yield line


def recheck(raw: bytes, ledger: Path | None) -> Line:
    """The record in `raw`, one line of a ledger, checked against its digest and, if given, its place in `ledger`."""
    record = decode_line(raw.strip())
    if ledger is not None and record not in read_lines(ledger):
        raise UsageError(f"record={record.digest[:12]}... is not in ledger={str(ledger)!r}")
    return record


def _unfinished(data: bytes) -> bytes:
    return data[data.rfind(b"\n") + 1 :]
