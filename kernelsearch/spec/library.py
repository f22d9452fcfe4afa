"""Targets on disk: a folder each, loaded by path under a private module name, never imported as a package.

The repository's `kernels/` ships inside the wheel as `kernelsearch/_library`; a user's own target is the same folder
anywhere. The PyPI package `kernels` keeps its import name: upstream training loads FlashAttention-3 through it.
"""

import importlib.util
import json
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from kernelsearch.digest import digest_bytes, digest_files
from kernelsearch.errors import UsageError
from kernelsearch.spec.target import SCALAR_DTYPES, Target
from kernelsearch.spec.workload import Workload

SUFFIXES = {"cpp": ".cpp", "python": ".py", "triton": ".py", "cuda": ".py"}
_IMPORTS_TRITON = re.compile(r"^\s*(import|from)\s+triton\b", re.MULTILINE)
_HOLDS_CUDA = re.compile(r"^[^#\n]*\b__global__\b", re.MULTILINE)


@dataclass(frozen=True)
class TargetFolder:
    """One target's folder and, on demand, its modules: target, reference, baseline, inputs, properties, op."""

    path: Path

    @cached_property
    def target(self) -> Target:
        found = self.module("target").TARGET
        if not isinstance(found, Target):
            raise UsageError(f"{self.path / 'target.py'}: TARGET must be a kernelsearch.spec.Target")
        return found

    def module(self, name: str) -> ModuleType:
        """The folder's `name`.py, executed once for each content of the file."""
        file = self.path / f"{name}.py"
        if not file.is_file():
            raise UsageError(f"target={str(self.path)!r} has no {name}.py")
        private = f"_kernelsearch_target_{digest_bytes(str(file.resolve()).encode() + file.read_bytes())[:16]}"
        if private not in sys.modules:
            spec = importlib.util.spec_from_file_location(private, file)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[private] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[private]
                raise
        return sys.modules[private]

    def workloads(self, group: str | None, dtype: str) -> tuple[Workload, ...]:
        """The workloads of one group (or one full name); every group when `group` is None."""
        if dtype not in SCALAR_DTYPES:
            raise UsageError(f"dtype={dtype!r}: choose from {', '.join(SCALAR_DTYPES)}")
        every = [Workload(dtype=dtype, **_fields(item)) for item in self._json()["workloads"]]
        found = tuple(w for w in every if group is None or group in (w.group, w.name))
        if not found:
            names = sorted({w.group for w in every} | {w.name for w in every})
            raise UsageError(
                f"workload={group!r} is not in target {self.target.name!r}: choose from {', '.join(names)}"
            )
        return found

    def edges(self, dtype: str) -> tuple[Workload, ...]:
        """Small shapes at which tiles begin and end; judged, never timed."""
        return tuple(
            Workload(f"edge/{index}", item["entry"], item["sizes"], item.get("parameters", {}), dtype)
            for index, item in enumerate(self._json()["edges"])
        )

    def seeds(self, language: str) -> dict[str, str]:
        """Starting sources of one language by name."""
        found = {file.stem: file.read_text() for file in sorted((self.path / "seeds").glob(f"*{SUFFIXES[language]}"))}
        return {stem: text for stem, text in found.items() if guess_language(SUFFIXES[language], text) == language}

    @property
    def contract_digest(self) -> str:
        """Digest of all that decides a verdict: contract, oracle, inputs, properties, baseline, workloads.

        Not the seeds, though those for GPUs end in .py too: a verdict about one says nothing of another.
        """
        modules, shapes = (digest_files(self.path, name, is_deep=False) for name in ("*.py", "workloads.json"))
        return digest_bytes((modules + shapes).encode())

    def _json(self) -> dict[str, list[dict]]:  # type: ignore[type-arg]
        file = self.path / "workloads.json"
        try:
            loaded: dict[str, list[dict]] = json.loads(file.read_text())  # type: ignore[type-arg]
        except (OSError, json.JSONDecodeError) as error:
            raise UsageError(f"{file}: cannot be read as workloads ({error})") from None
        return loaded


def guess_language(suffix: str, source: str) -> str | None:
    """The language of a file by its ending and, for Python files, by what they hold; None for an unknown ending."""
    if suffix == SUFFIXES["cpp"]:
        return "cpp"
    if suffix != SUFFIXES["python"]:
        return None
    if _IMPORTS_TRITON.search(source):
        return "triton"
    return "cuda" if _HOLDS_CUDA.search(source) else "python"


def library_path() -> Path:
    """The targets that come with this installation: the source tree's `kernels/`, or the wheel's copy of it."""
    package = Path(__file__).resolve().parent.parent
    beside = package.parent / "kernels"
    return beside if (package.parent / "pyproject.toml").is_file() and beside.is_dir() else package / "_library"


def target_names(root: Path) -> list[str]:
    return sorted(file.parent.name for file in root.glob("*/target.py"))


def find_target(name: str, root: Path) -> TargetFolder:
    """The target called `name` in the library at `root`, or the folder at path `name`."""
    if name in target_names(root):
        return TargetFolder(root / name)
    if (Path(name) / "target.py").is_file():
        return TargetFolder(Path(name).resolve())
    known = ", ".join(target_names(root))
    raise UsageError(f"target={name!r} is neither one of {known} nor a folder with a target.py")


def _fields(item: dict) -> dict:  # type: ignore[type-arg]
    return {"parameters": {}, "calls": 1.0, **item}
