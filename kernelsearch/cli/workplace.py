"""Where a command works: state folder, library, threads, and the judge made from them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from hypothesis.configuration import set_hypothesis_home_dir

from kernelsearch.build.resources import ARCHITECTURES
from kernelsearch.cli.own import find_folder
from kernelsearch.cli.state import open_state
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.store import Store
from kernelsearch.errors import EnvironmentMissing, UsageError
from kernelsearch.ledger import Ledger, Objects
from kernelsearch.report.text import open_console
from kernelsearch.sandbox.gpu.judge import GpuJudge
from kernelsearch.sandbox.judge import WAITING, Judge
from kernelsearch.sandbox.languages import GPU_LANGUAGES
from kernelsearch.spec import TargetFolder, Workload, library_path, target_names
from kernelsearch.timing.allocator import keep_freed_memory
from kernelsearch.timing.environment import describe_environment

DEFAULT_GROUP = "tiny"


@dataclass(frozen=True)
class Workplace:
    """State in `state_dir`; every contender of this process computes with `threads` threads."""

    state_dir: Path
    library: Path
    threads: int
    allocator_tuned: bool

    @property
    def cache_dir(self) -> Path:
        return self.state_dir / "cache"

    @property
    def turn(self) -> Path:
        """The lock of whoever measures here: judgements of all processes come one after the other."""
        return self.state_dir / "turn.lock"

    @property
    def ledger_path(self) -> Path:
        return self.state_dir / "ledger.jsonl"

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.ledger_path)

    @property
    def objects(self) -> Objects:
        return Objects(self.state_dir / "objects")

    @property
    def store(self) -> Store:
        return Store(self.library, self.state_dir)

    def target(self, name: str) -> TargetFolder:
        return find_folder(name, self.library, self.state_dir)

    def folders(self) -> list[TargetFolder]:
        return [TargetFolder(self.library / name) for name in target_names(self.library)]

    def judge(self, folder: TargetFolder, dtype: str, workloads: tuple[Workload, ...]) -> Judge:
        return Judge(folder, dtype, workloads, self.cache_dir, self.threads, turn=self.turn, on_gate=tell_waiting)

    def judge_for(
        self,
        language: str,
        folder: TargetFolder,
        dtype: str,
        workloads: tuple[Workload, ...],
        architectures: tuple[int, ...] = ARCHITECTURES[:1],
    ) -> Judge | GpuJudge:
        """The judge for candidates of a language: on the GPU where they are meant for one and there is one.

        Without a GPU, its kernels are compiled for `architectures`, of which the first decides.
        """
        if language in GPU_LANGUAGES and torch.cuda.is_available():
            return GpuJudge(folder, dtype, workloads, self.cache_dir)
        return replace(self.judge(folder, dtype, workloads), architectures=architectures)

    def environment(self) -> Mapping[str, Any]:
        return describe_environment(threads=self.threads, allocator_tuned=self.allocator_tuned)

    def context(
        self, folder: TargetFolder, dtype: str, workloads: tuple[Workload, ...], language: str = "cpp"
    ) -> dict[str, Any]:
        """All that a verdict about a candidate in this language depends on besides it."""
        is_for_gpu = language in GPU_LANGUAGES
        found = {} if is_for_gpu and torch.cuda.is_available() else fingerprint()
        return {
            "target": folder.target.name,
            "contract": folder.contract_digest,
            "dtype": dtype,
            "workloads": [w.as_json() for w in workloads],
            "environment": dict(self.environment()),
            "fingerprint": {**found, **(fingerprint("cuda") if is_for_gpu else {})},
        }


def open_workplace(threads: int | None) -> Workplace:
    """The state folder and this process made ready for measuring."""
    cores = len(os.sched_getaffinity(0))
    if threads is not None and threads > cores:
        raise UsageError(f"threads={threads}: this machine gives this process {cores} cores")
    tuned = keep_freed_memory()
    torch.set_num_threads(threads or cores)
    state = open_state()
    set_hypothesis_home_dir(state / "cache" / "hypothesis")  # else it makes a folder wherever the user stands
    return Workplace(state, library_path(), threads or cores, tuned)


def require_device(device: str) -> None:
    """Raises EnvironmentMissing where training is to run on a GPU and there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise EnvironmentMissing(
            f"device={device!r}: no CUDA device: this PyTorch ({torch.__version__}) sees none. Use --device cpu, or a "
            "machine with an NVIDIA GPU and a PyTorch built for CUDA"
        )


def tell_waiting(gate: str) -> None:
    """Says that a judgement has to wait for its turn; of the gates, nothing."""
    if gate == WAITING:
        open_console(stderr=True).print(f"waiting for {gate}", markup=False)


def chosen_workloads(folder: TargetFolder, group: str | None, dtype: str) -> tuple[Workload, ...]:
    """The named group; by default `tiny`, or the first group of a target that has none."""
    if group is not None:
        return folder.workloads(group, dtype)
    every = folder.workloads(None, dtype)
    groups = [w.group for w in every]
    wanted = DEFAULT_GROUP if DEFAULT_GROUP in groups else groups[0]
    return tuple(w for w in every if w.group == wanted)


def parse_seconds(text: str, name: str) -> float:
    """Seconds from 90, 90s, 10m or 2h."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    try:
        seconds = float(number) * unit
    except ValueError:
        raise UsageError(f"{name}={text!r}: give a time such as 90s, 10m or 2h") from None
    if not 0 < seconds < 1e7:
        raise UsageError(f"{name}={text!r}: give a time above zero, such as 90s, 10m or 2h")
    return seconds


def read_source(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"file={str(file)!r}: cannot be read as text ({error})") from None
