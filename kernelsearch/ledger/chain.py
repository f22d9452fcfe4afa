"""The append-only, hash-chained list of records: one JSON line each, one file, safe against kill -9 and full disks.

Appending takes the file's lock, reads what other processes wrote since, and adds one line with one write and one
fsync. A writer that dies inside its write leaves an unfinished last line: nobody was told that it was recorded, so
whoever opens the ledger next moves it aside. Any other damage is an error, never repaired.
"""

import fcntl
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kernelsearch.errors import CorruptState, Infrastructure, UsageError
from kernelsearch.ledger.line import GENESIS, Line, check_place, decode_line, encode_line

TRIAL = "trial"


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Ledger:
    """The ledger at `path`, held in memory and kept in step with the file at every append.

    A body of kind "trial" names its `candidate` and `context` digests; `trials` finds it by them in constant time.
    Opening reads the file once and checks every line. Raises CorruptState for damage other than an unfinished last
    line, Infrastructure where the file cannot be read or written.
    """

    def __init__(self, path: Path, clock: Callable[[], str] = utc_now) -> None:
        self.path = path
        self._clock = clock
        self._forget()
        if path.exists():
            with self._locked() as file:
                self._catch_up(file)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def append(self, kind: str, body: Mapping[str, Any]) -> Line:
        """Write one record; when this returns it is on disk. Where that fails, the file is as it was before."""
        line = self.append_if(kind, lambda: body)
        assert line is not None
        return line

    def append_if(self, kind: str, make: Callable[[], Mapping[str, Any] | None]) -> Line | None:
        """Write the body that `make` returns, or nothing where it returns None or raises UsageError.

        `make` is called when everybody's lines are read and nobody else can write: what it decides from the ledger
        holds when its line is written. Two processes that both want the same thing cannot both get it.
        """
        with self._locked() as file:
            self._catch_up(file)
            body = make()
            if body is None:
                return None
            if kind == TRIAL and not {"candidate", "context"} <= body.keys():
                raise ValueError(f"body has {sorted(body)}: a trial names its candidate and its context")
            raw = encode_line(len(self._lines), kind, self._clock(), self._head, body)
            _write(file, raw, self._offset, self.path)
            return self._take(raw)

    def refresh(self) -> None:
        """Take in what other processes wrote since."""
        if self.path.exists():
            with self._locked() as file:
                self._catch_up(file)

    def find(self, kind: str, **equal: Any) -> list[Line]:
        """The lines of one kind whose body has these values, in order."""
        lines = self._kinds.get(kind, [])
        return [line for line in lines if all(line.body.get(key) == value for key, value in equal.items())]

    def trials(self, candidate: str, context: str) -> list[Line]:
        """The trials of one candidate digest in one context digest, in order."""
        return list(self._trials.get((candidate, context), ()))

    @property
    def _head(self) -> str:
        return self._lines[-1].digest if self._lines else GENESIS

    def _forget(self) -> None:
        self._lines: list[Line] = []
        self._kinds: dict[str, list[Line]] = {}
        self._trials: dict[tuple[str, str], list[Line]] = {}
        self._offset = 0

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The open file with its exclusive lock held.

        Whatever interrupts the block, Ctrl-C too, may have come between two of its steps: what is in memory is dropped
        then, and the next append reads the file again.
        """
        file = _open(self.path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        except UsageError:  # the caller's own decision, in append_if: nothing was touched
            raise
        except BaseException:
            self._forget()
            raise
        finally:
            os.close(file)

    def _catch_up(self, file: int) -> None:
        """Take in the lines that other processes appended; move an unfinished last one aside."""
        size = os.fstat(file).st_size
        if size < self._offset:
            raise CorruptState(
                f"ledger={str(self.path)!r} has {size} bytes, {self._offset} were read before: it was cut or replaced "
                "while in use. Start again to go on with the file as it is now"
            )
        data = _read(file, self._offset, size)
        end = data.rfind(b"\n") + 1
        for raw in data[:end].split(b"\n")[:-1]:
            self._take(raw + b"\n")
        if end < len(data):
            _move_aside(file, data[end:], self._offset, self.path)

    def _take(self, raw: bytes) -> Line:
        """Check and index one line, given with its newline."""
        line = checked(raw[:-1], len(self._lines), self._head, self.path)
        self._lines.append(line)
        self._kinds.setdefault(line.kind, []).append(line)
        if line.kind == TRIAL:
            key = (line.body["candidate"], line.body["context"])
            self._trials.setdefault(key, []).append(line)
        self._offset += len(raw)
        return line


def checked(raw: bytes, sequence: int, previous: str, path: Path) -> Line:
    """The line in `raw`, or CorruptState that names file and line, what differs, and the way out."""
    try:
        line = decode_line(raw)
        check_place(line, sequence, previous)
    except CorruptState as error:
        raise CorruptState(
            f"ledger={str(path)!r} line {sequence + 1}: {error}. See `kernelsearch verify {path}`; to start a new "
            "ledger, move this file away"
        ) from None
    return line


def has_whole_record(tail: bytes) -> bool:
    """Whether an unterminated tail is a whole record and more: a dying writer leaves less, so this is damage."""
    text = tail.decode("ascii", errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return end < len(text)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Infrastructure(f"ledger={str(path)!r} cannot be opened for writing: {error.strerror}") from error


def _move_aside(file: int, tail: bytes, offset: int, path: Path) -> None:
    if has_whole_record(tail):
        raise CorruptState(
            f"ledger={str(path)!r}: bytes follow its last record, in place of its newline. See `kernelsearch verify "
            f"{path}`; to start a new ledger, move this file away"
        )
    aside = path.with_name(f"{path.name}.unfinished-{offset}")
    try:
        aside.write_bytes(tail)
    except OSError as error:
        raise Infrastructure(f"ledger={str(path)!r}: {aside.name} cannot be written: {error.strerror}") from error
    os.ftruncate(file, offset)
    os.fsync(file)
    warnings.warn(
        f"ledger={str(path)!r}: its last line was unfinished, as a killed process leaves it; "
        f"its {len(tail)} bytes are now in {aside.name}",
        stacklevel=2,
    )


def _read(file: int, start: int, end: int) -> bytes:
    parts = []
    while start < end and (part := os.pread(file, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _write(file: int, raw: bytes, offset: int, path: Path) -> None:
    """One write and one fsync at `offset`; where either falls short, cut the file back to `offset`."""
    try:
        written = os.pwrite(file, raw, offset)
        if written != len(raw):
            raise OSError(f"{written} of {len(raw)} bytes written, the disk is full")
        os.fsync(file)
    except OSError as error:
        os.ftruncate(file, offset)
        raise Infrastructure(
            f"ledger={str(path)!r}: a record could not be written ({error.strerror or error}); nothing of it was kept. "
            "Free some space and run the same command again: what is recorded is not judged twice"
        ) from error
