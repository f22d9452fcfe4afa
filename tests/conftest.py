"""What one run of the tests compiles, it compiles once: every test makes a cache of its own, and most want the same.

The runner, the jail and every candidate take a second or more each. What was made of the same text, header and options
is taken from a folder that all worker processes of the run share; what does not compile is asked anew each time.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelsearch.build import cpp, program
from kernelsearch.build.compiler import compiler
from kernelsearch.digest import digest, digest_files


@pytest.fixture(scope="session")
def compiled_once_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run of the tests, whichever worker asks."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    folder.mkdir(exist_ok=True)
    return folder


def make_once(kept: Path, make: Callable[[Path], None]) -> Path:
    """`kept`, made under another name first: another worker or thread may be at it too."""
    if not kept.exists():
        scratch = kept.with_name(f"{kept.name}.{os.getpid()}.{threading.get_ident()}")
        make(scratch)
        os.replace(scratch, kept)
    return kept


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(compiled_once_folder: Path) -> Iterator[None]:
    compile_program, compile_candidate = program._compile, cpp._compile

    def program_once(source: Path, libraries: tuple[str, ...], made: Path) -> None:
        key = digest([compiler(), source.read_text(), digest_files(program.NATIVE, "*.h"), list(libraries)])
        shutil.copy2(make_once(compiled_once_folder / key, lambda path: compile_program(source, libraries, path)), made)

    def candidate_once(
        source: str, header: str, flags: tuple[str, ...], rename: tuple[str, ...], cache_dir: Path
    ) -> bytes:
        key = digest([compiler(), source, header, list(flags), list(rename)])

        def make(path: Path) -> None:
            path.write_bytes(compile_candidate(source, header, flags, rename, cache_dir))

        return make_once(compiled_once_folder / key, make).read_bytes()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_compile", program_once)
        patch.setattr(cpp, "_compile", candidate_once)
        yield
