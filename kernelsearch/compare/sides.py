"""What is compared: the accepted kernels of a commit, of a folder on disk, or a single source.

A commit's `kernels/` is written to a scratch folder, contracts and all; nothing of the checkout is touched. A kernel's
source is read as it lies there: a source that was edited without its provenance can be compared, though training would
refuse it (`is_recorded`).
"""

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from kernelsearch.dispatch.store import PROVENANCE
from kernelsearch.errors import ContractError, UsageError
from kernelsearch.spec import Candidate, TargetFolder, find_target, read_candidate, target_names
from kernelsearch.spec.library import SUFFIXES, guess_language

WORKING_TREE = "working tree"


@dataclass(frozen=True)
class Kernel:
    """A kernel and the contract that lies beside it. `workloads` are those it was accepted on, empty where unknown."""

    target: str
    name: str
    folder: TargetFolder
    candidate: Candidate
    device: str
    dtype: str
    workloads: tuple[str, ...]
    is_recorded: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.target, self.name


@dataclass(frozen=True)
class Side:
    """One side of a comparison: how it was named, which commit that is, and its kernels by target and name."""

    name: str
    commit: str | None
    kernels: dict[tuple[str, str], Kernel]

    @property
    def label(self) -> str:
        return (
            f"{self.name} ({self.commit[:10]})" if self.commit and not self.commit.startswith(self.name) else self.name
        )


@dataclass(frozen=True)
class Place:
    """Where names are looked up: the repository, its kernels' folder, this installation's targets, and scratch space.

    `target` and `dtype` are what a single source is for.
    """

    repository: Path
    kernels: str
    library: Path
    scratch: Path
    target: str | None
    dtype: str


def read_side(text: str | None, place: Place) -> Side:
    """The side called `text`: a path where there is one, else a commit; None is the working tree."""
    if text is None:
        root = repository_root(place.repository) / place.kernels
        if not target_names(root):
            raise UsageError(f"kernels={place.kernels!r}: no target in {root}; name that folder, or a second side")
        return Side(WORKING_TREE, None, _library(root))
    path = place.repository / text
    if path.exists():
        return Side(text, None, _read_path(path, place))
    commit = resolve_commit(place.repository, text)
    return Side(text, commit, _library(_extract(commit, place)))


def resolve_commit(repository: Path, text: str) -> str:
    done = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
    if done.returncode:
        raise UsageError(
            f"{text!r} is neither a path nor a commit of the repository at {repository.resolve()}; "
            "a shallow clone lacks older commits until they are fetched"
        )
    return done.stdout.decode().strip()


def repository_root(folder: Path) -> Path:
    done = _git(folder, "rev-parse", "--show-toplevel")
    if done.returncode:
        raise UsageError(f"{str(folder)!r} is not in a git repository; give two folders or files to compare")
    return Path(done.stdout.decode().strip())


def commits_touching(repository: Path, path: str, good: str, bad: str) -> list[tuple[str, str]]:
    """(commit, subject) after `good` up to `bad`, oldest first, that changed `path`, along the first parents."""
    revisions = ["--reverse", "--first-parent", "--format=%H%x09%s", f"{good}..{bad}"]
    done = _git(repository_root(repository), "log", *revisions, "--", path)
    rows = [line.partition("\t") for line in done.stdout.decode(errors="replace").splitlines()]
    return [(commit, subject) for commit, _, subject in rows]


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    except OSError as error:
        raise UsageError(f"git cannot be started ({error.strerror}); install it to compare commits") from None


def _extract(commit: str, place: Place) -> Path:
    """The commit's kernels in a folder of their own."""
    into = place.scratch / commit[:12]
    root = into / place.kernels
    if not into.is_dir():
        done = _git(repository_root(place.repository), "archive", "--format=tar", commit, "--", place.kernels)
        if done.returncode:
            raise UsageError(f"commit {commit[:12]} has no folder {place.kernels!r}; name it by --kernels")
        into.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(into, filter="data")
    return root


def _read_path(path: Path, place: Place) -> dict[tuple[str, str], Kernel]:
    if path.is_file():
        return _by_key([_single(path, place)])
    if (path / PROVENANCE).is_file():
        target = path.resolve().parent.parent
        contract = TargetFolder(target) if (target / "target.py").is_file() else None
        return _by_key([_recorded(path, contract, place.library)])
    if (path / "target.py").is_file():
        return _by_key(_accepted(path))
    if target_names(path):
        return _library(path)
    store = path / "store" if (path / "store").is_dir() else path
    found = [_recorded(file.parent, None, place.library) for file in sorted(store.glob(f"*/[!.]*/{PROVENANCE}"))]
    if not found:
        raise UsageError(f"{str(path)!r} holds no accepted kernel: give a library, a target, a store or a source")
    return _by_key(found)


def _library(root: Path) -> dict[tuple[str, str], Kernel]:
    return _by_key([kernel for name in target_names(root) for kernel in _accepted(root / name)])


def _accepted(target: Path) -> list[Kernel]:
    folders = [file.parent for file in sorted(target.glob(f"accepted/[!.]*/{PROVENANCE}"))]
    return [_recorded(folder, TargetFolder(target), target) for folder in folders]


def _by_key(kernels: list[Kernel]) -> dict[tuple[str, str], Kernel]:
    return {kernel.key: kernel for kernel in kernels}


def _recorded(folder: Path, contract: TargetFolder | None, library: Path) -> Kernel:
    """The kernel in a folder with provenance. Its name is the folder's in a library, in a store what it is for."""
    try:
        value = json.loads((folder / PROVENANCE).read_text())
        source = (folder / f"kernel{SUFFIXES[value['language']]}").read_text()
        candidate = Candidate(value["target"], value["language"], source, value["tunables"], folder.name)
        made_for = f"{value['device']}-{value['language']}-{value['dtype']}"
        workloads = tuple(m["workload"] for m in value["verdict"]["measurements"])
        return Kernel(
            target=value["target"],
            name=made_for if contract is None else folder.name,
            folder=contract or find_target(value["target"], library),
            candidate=candidate,
            device=value["device"],
            dtype=value["dtype"],
            workloads=workloads,
            is_recorded=candidate.digest == value["digest"],
        )
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder}: cannot be read as an accepted kernel ({error!r})") from None


def _single(file: Path, place: Place) -> Kernel:
    if place.target is None:
        raise UsageError(f"{str(file)!r} is one source: say by --target what it is for")
    folder = find_target(place.target, place.library)
    try:
        source = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(file)!r}: cannot be read as text ({error})") from None
    language = guess_language(file.suffix, source)
    if language is None:
        raise UsageError(f"{str(file)!r}: the ending tells the language; known are {sorted(set(SUFFIXES.values()))}")
    try:
        candidate = read_candidate(folder.target.name, language, source, file.name)
    except ContractError as error:
        raise UsageError(f"{str(file)!r}: {error}") from None
    return Kernel(folder.target.name, "source", folder, candidate, "cpu", place.dtype, (), True)
