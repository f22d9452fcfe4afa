"""One contestant of a race, driven step by step: `python -m nanochat.worker`.

Reads one JSON object per line from standard input and answers each with one line; nothing else reaches standard output,
not even what a library prints.

    {"cmd": "init", "config": "tiny", "seed": 1, "dtype": "float32", "cache_dir": PATH, "data_dir": null,
     "ops": "eager" | {"factory": "module:function", "argument": ANY}, "overrides": {}, "device": "cpu", "threads": 2,
     "compiled": false, "keep_memory": true}
        -> {"ok": true, "flops_per_token", "tokens_per_step", "iterations", "eval_every", "target_bpb", "corpus"}
    {"cmd": "step", "count": N}  -> {"ok": true, "losses": [...], "seconds": [...], "tokens": N * tokens_per_step}
    {"cmd": "evaluate"}          -> {"ok": true, "bpb", "seconds"}
    {"cmd": "report"}            -> {"ok": true, "report": what the factory's second value returns, or null,
                                     "peak_bytes": the most memory that was resident}
    {"cmd": "exit"}              -> {"ok": true}, and the process ends

What "ops" means is told in nanochat/factory.py; "keep_memory" is nanochat/allocator.py's setting. A failed command
answers {"ok": false, "error": TEXT} and leaves the traceback on standard error.
"""

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch

from nanochat.allocator import tune_allocator
from nanochat.config import named_config
from nanochat.factory import resolve_ops
from nanochat.train import DTYPES
from nanochat.trainer import Trainer

Answer = dict[str, Any]


def peak_resident_bytes() -> int:
    """The most memory this process had resident. Linux's ru_maxrss starts at what the process had that started it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


class Worker:
    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._report: Callable[[], Any] = lambda: None

    @property
    def trainer(self) -> Trainer:
        if self._trainer is None:
            raise ValueError("cmd: send init first")
        return self._trainer

    def answer(self, command: dict[str, Any]) -> Answer:
        name = command.get("cmd")
        if name == "init":
            return self.init(command)
        if name == "step":
            return self.step(command["count"])
        if name == "evaluate":
            return self.evaluate()
        if name == "report":
            return {"report": self._report(), "peak_bytes": self.peak_bytes()}
        if name == "exit":
            return {}
        raise ValueError(f"cmd={name!r}: init, step, evaluate, report or exit")

    def peak_bytes(self) -> int:
        """The most memory so far where the model lives."""
        if self._trainer is not None and self._trainer.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._trainer.device)
        return peak_resident_bytes()

    def init(self, command: dict[str, Any]) -> Answer:
        if command.get("keep_memory", True):
            tune_allocator()
        if threads := command.get("threads"):
            torch.set_num_threads(threads)
        ops, self._report = resolve_ops(command.get("ops", "eager"))
        data_dir = command.get("data_dir")
        self._trainer = Trainer(
            named_config(command["config"]).override(command.get("overrides") or {}),
            ops,
            torch.device(command.get("device", "cpu")),
            DTYPES[command.get("dtype", "float32")],
            command["seed"],
            Path(command["cache_dir"]),
            None if data_dir is None else Path(data_dir),
            compiled=command.get("compiled", False),
        )
        config = self._trainer.config
        return {
            "flops_per_token": self._trainer.model.flops_per_token(),
            "tokens_per_step": config.batch_tokens,
            "iterations": config.iterations,
            "eval_every": config.eval_every,
            "target_bpb": config.target_bpb,
            "corpus": self._trainer.corpus.digest,
        }

    def step(self, count: int) -> Answer:
        results = [self.trainer.step() for _ in range(count)]
        return {
            "losses": [result.loss for result in results],
            "seconds": [result.seconds for result in results],
            "tokens": sum(result.tokens for result in results),
        }

    def evaluate(self) -> Answer:
        started = time.perf_counter()
        bpb = self.trainer.evaluate()
        return {"bpb": bpb, "seconds": time.perf_counter() - started}


def claim_stdout() -> TextIO:
    """The real standard output; from here on, what anyone prints goes to standard error."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def serve(commands: TextIO, answers: TextIO) -> None:
    worker = Worker()
    for line in commands:
        command: dict[str, Any] = {}
        try:
            command = json.loads(line)
            answer = {"ok": True, **worker.answer(command)}
        except Exception as error:  # the other end of the pipe must learn of any failure
            traceback.print_exc()
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if command.get("cmd") == "exit":
            return


def main() -> None:
    answers = claim_stdout()
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
