"""Train a named configuration to a loss target: `python -m nanochat.train --config tiny`.

Progress goes to standard error. With --json standard output is one JSON document. Exit status: 0 target reached (or no
target and all steps done), 1 target not reached, 2 wrong usage, 130 interrupted after saving a checkpoint.
"""

import argparse
import json
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from nanochat.allocator import tune_allocator
from nanochat.checkpoint import latest_step
from nanochat.config import all_configs, named_config
from nanochat.factory import resolve_ops
from nanochat.trainer import Trainer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Interrupt:
    """Remembers the first stop signal; the second one acts at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        report("stopping after this step; press Ctrl-C again to stop at once")


@contextmanager
def stop_signals() -> Iterator[Interrupt]:
    interrupt = Interrupt()
    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nanochat.train", description=__doc__)
    parser.add_argument("--config", default="tiny", choices=sorted(all_configs()))
    parser.add_argument("--until-bpb", type=float, help="stop at this validation loss (default: the config's target)")
    parser.add_argument("--steps", type=int, help="stop after this many optimizer steps in all")
    parser.add_argument("--overrides", type=json.loads, default={}, help="JSON object of config fields")
    parser.add_argument("--ops", type=json.loads, default='"eager"', help="JSON, see nanochat/factory.py")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--compile", action="store_true", help="run the model through torch.compile")
    parser.add_argument("--cache-dir", type=Path, default=Path.home() / ".cache" / "nanochat")
    parser.add_argument("--data-dir", type=Path, help="folder of parquet shards (default: Python's standard library)")
    parser.add_argument("--checkpoint-dir", type=Path, help="where to save at the end and on Ctrl-C")
    parser.add_argument(
        "--save-every", type=int, default=0, help="optimizer steps between checkpoints (default: never)"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    if options.checkpoint_dir is None and (options.resume or options.save_every):
        parser.error("--resume and --save-every need --checkpoint-dir")
    return options


def run(trainer: Trainer, options: argparse.Namespace, interrupt: Interrupt) -> dict[str, Any]:
    """Train until the target, the last step or a signal; the record of the run."""
    target_bpb = options.until_bpb or trainer.config.target_bpb
    last_step = min(options.steps or trainer.config.iterations, trainer.config.iterations)
    losses: list[float] = []
    evaluations: list[dict[str, float]] = []
    is_reached = has_reached(trainer.val_bpb, target_bpb)
    while not is_reached and trainer.steps_done < last_step and interrupt.signal is None:
        result = trainer.step()
        losses.append(result.loss)
        step = trainer.steps_done
        if step % trainer.config.eval_every == 0 or step == last_step:
            bpb = trainer.evaluate()
            evaluations.append({"step": step, "bpb": bpb, "seconds": trainer.training_seconds})
            is_reached = has_reached(bpb, target_bpb)
            speed = result.tokens / result.seconds
            seconds = trainer.training_seconds
            report(f"step {step} loss {trainer.smooth_loss:.4f} bpb {bpb:.4f} {speed:.0f} tok/s {seconds:.1f} s")
        if options.save_every and step % options.save_every == 0:
            trainer.save(options.checkpoint_dir)
    if options.checkpoint_dir is not None:
        trainer.save(options.checkpoint_dir)
    return {
        "config": trainer.config.name,
        "seed": trainer.seed,
        "dtype": options.dtype,
        "device": str(trainer.device),
        "corpus": trainer.corpus.digest,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "steps": trainer.steps_done,
        "tokens": trainer.steps_done * trainer.config.batch_tokens,
        "seconds": trainer.training_seconds,
        "target_bpb": target_bpb,
        "val_bpb": trainer.val_bpb,
        "reached": is_reached,
        "interrupted": interrupt.signal is not None,
        "losses": losses,
        "evaluations": evaluations,
    }


def has_reached(bpb: float | None, target_bpb: float | None) -> bool:
    return bpb is not None and target_bpb is not None and bpb <= target_bpb


def exit_status(record: dict[str, Any]) -> int:
    if record["interrupted"]:
        return 130
    return 0 if record["reached"] or record["target_bpb"] is None else 1


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    tune_allocator()
    if options.threads:
        torch.set_num_threads(options.threads)
    with stop_signals() as interrupt:
        try:
            config = named_config(options.config).override(options.overrides)
            ops, report_ops = resolve_ops(options.ops)
            place = (torch.device(options.device), DTYPES[options.dtype], options.seed, options.cache_dir)
            trainer = Trainer(config, ops, *place, options.data_dir, compiled=options.compile)
            step = latest_step(options.checkpoint_dir) if options.resume else None
            if step is not None:
                trainer.load(options.checkpoint_dir, step)
                report(f"resumed at step {step}")
        except ValueError as error:
            report(f"error: {error}")
            return 2
        record = {**run(trainer, options, interrupt), "ops": report_ops()}
    if record["ops"] is not None and not options.json:
        report(f"ops {json.dumps(record['ops'])}")
    if options.json:
        print(json.dumps(record))
    return exit_status(record)


if __name__ == "__main__":
    sys.exit(main())
