"""Content-addressed texts beside the ledger: the sources that its records name by digest."""

import os
import tempfile
from pathlib import Path

from kernelsearch.digest import digest_bytes
from kernelsearch.errors import CorruptState, Infrastructure


class Objects:
    """Texts below `root`, each in a file named by the SHA-256 of its bytes: `ab/abcdef...`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, text: str) -> str:
        """Store `text` and return its digest. A whole file appears at once, and a damaged one is replaced."""
        data = text.encode("utf-8")
        name = digest_bytes(data)
        path = self.path(name)
        if not (path.is_file() and path.read_bytes() == data):
            _write_whole(path, data)
        return name

    def get(self, name: str) -> str:
        """The text with this digest. Raises CorruptState where it is missing or was altered."""
        try:
            data = self.path(name).read_bytes()
        except OSError:
            raise CorruptState(f"object={name!r} is not in {str(self.root)!r}: its source is lost") from None
        if digest_bytes(data) != name:
            raise CorruptState(f"object={str(self.path(name))!r} was altered: its content has another digest")
        return data.decode("utf-8")

    def path(self, name: str) -> Path:
        return self.root / name[:2] / name


def _write_whole(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException:
            os.unlink(scratch)
            raise
    except OSError as error:
        raise Infrastructure(f"object={str(path)!r} could not be written: {error.strerror}") from error
