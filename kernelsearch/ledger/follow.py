"""Reading a ledger that another process is writing: whole lines as they come, each checked, nothing ever changed.

A reader takes no lock and moves nothing aside: the unfinished end of a line that is being written is left for the next
look. A file that became shorter was replaced, and is read again from its start.
"""

import os
from pathlib import Path

from kernelsearch.ledger.chain import checked
from kernelsearch.ledger.line import GENESIS, Line


class Follower:
    """The lines of the ledger at `path` so far; there may be no file yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self._offset = 0
        self._inode: int | None = None

    def advance(self) -> bool:
        """Take in what was appended since the last call; whether anything changed. Raises CorruptState on damage."""
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                is_new = found.st_ino != self._inode or found.st_size < self._offset
                if is_new:
                    self._forget(found.st_ino)
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            had_any = bool(self.lines)
            self._forget(None)
            return had_any
        whole = data[: data.rfind(b"\n") + 1]
        for raw in whole.split(b"\n")[:-1]:
            previous = self.lines[-1].digest if self.lines else GENESIS
            self.lines.append(checked(raw, len(self.lines), previous, self.path))
            self._offset += len(raw) + 1
        return is_new or bool(whole)

    def _forget(self, inode: int | None) -> None:
        self.lines, self._offset, self._inode = [], 0, inode
