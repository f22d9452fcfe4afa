"""Named training runs.

d12 and d20 are upstream's own settings. The smaller ones are for CPUs, where a batch of half a million tokens is out of
reach: they set their own rates and warm-up. `tiny` is calibrated for a race on two cores; see bench/LOG.md.
"""

import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import Any

from nanochat.gpt import GPTConfig
from nanochat.optim import LearningRates
from nanochat.schedule import Schedule


@dataclass(frozen=True)
class RunConfig:
    """A model, its data and its training; the width is 64 per layer of depth, rounded up to whole heads."""

    name: str
    depth: int
    head_dim: int
    sequence_len: int  # tokens
    vocab_size: int
    window_pattern: str
    batch_rows: int  # sequences per forward pass
    batch_tokens: int  # tokens per optimizer step
    iterations: int  # optimizer steps that the schedule spans
    rates: LearningRates
    warmup_steps: int
    weight_decay: float  # Muon's, at step 0
    eval_every: int  # optimizer steps
    eval_batches: int  # forward passes per evaluation
    target_bpb: float | None = None  # where a race stops; None where not calibrated
    momentum_steps: int = 400

    @property
    def model(self) -> GPTConfig:
        heads = -(-64 * self.depth // self.head_dim)
        return GPTConfig(
            sequence_len=self.sequence_len,
            vocab_size=self.vocab_size,
            n_layer=self.depth,
            n_head=heads,
            n_kv_head=heads,
            n_embd=heads * self.head_dim,
            window_pattern=self.window_pattern,
        )

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            iterations=self.iterations,
            warmup_steps=self.warmup_steps,
            momentum_steps=self.momentum_steps,
            weight_decay=self.weight_decay,
        )

    @property
    def micro_steps(self) -> int:
        """Forward passes per optimizer step."""
        per_pass = self.batch_rows * self.sequence_len
        if self.batch_tokens % per_pass:
            raise ValueError(
                f"batch_tokens={self.batch_tokens} is not a multiple of batch_rows * sequence_len={per_pass}"
            )
        return self.batch_tokens // per_pass

    def override(self, changes: dict[str, Any]) -> "RunConfig":
        """A copy with some fields replaced; `rates` may be a dict of its own fields."""
        known = {field.name for field in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - known):
            raise ValueError(f"overrides={unknown}: no such field, choose from {sorted(known)}")
        if isinstance(changes.get("rates"), dict):
            changes = {**changes, "rates": dataclasses.replace(self.rates, **changes["rates"])}
        return dataclasses.replace(self, **changes)


def small_run(name: str, depth: int, head_dim: int, **changes: Any) -> RunConfig:
    """A run for a CPU."""
    defaults: dict[str, Any] = {
        "sequence_len": 512,
        "vocab_size": 4096,
        "window_pattern": "SSSL",
        "batch_rows": 8,
        "batch_tokens": 4096,
        "iterations": 2000,
        "rates": LearningRates(unembedding=0.008, embedding=0.1, matrix=0.02, scalar=0.05, smear=0.02),
        "warmup_steps": 40,
        "weight_decay": 0.05,
        "eval_every": 100,
        "eval_batches": 16,
    }
    return RunConfig(name=name, depth=depth, head_dim=head_dim, **{**defaults, **changes})


def large_run(name: str, depth: int, *, batch_tokens: int, iterations: int, weight_decay: float) -> RunConfig:
    """Upstream's run at this depth: 12 tokens per scaling parameter, rates scaled by the square root of the batch."""
    scale = (batch_tokens / 2**19) ** 0.5
    return RunConfig(
        name=name,
        depth=depth,
        head_dim=128,
        sequence_len=2048,
        vocab_size=32768,
        window_pattern="SSSL",
        batch_rows=32,
        batch_tokens=batch_tokens,
        iterations=iterations,
        rates=LearningRates(unembedding=0.008 * scale, embedding=0.3 * scale, matrix=0.02 * scale, scalar=0.5 * scale),
        warmup_steps=40,
        weight_decay=weight_decay,
        eval_every=250,
        eval_batches=80,
    )


def all_configs() -> dict[str, RunConfig]:
    tiny = small_run(
        "tiny",
        3,
        64,
        batch_rows=4,
        batch_tokens=2048,
        iterations=160,
        warmup_steps=10,
        eval_every=10,
        eval_batches=8,
        target_bpb=1.99,  # every seed tried gets there at step 150 of 160
    )
    runs = (
        tiny,
        small_run("d4", 4, 64, batch_rows=4),
        small_run("d4-32k", 4, 64, vocab_size=32768, batch_rows=4),
        small_run("d6", 6, 64, vocab_size=8192, batch_rows=16, batch_tokens=16384, iterations=5000),
        small_run(
            "d8", 8, 128, vocab_size=16384, batch_rows=16, batch_tokens=65536, sequence_len=1024, iterations=3000
        ),
        large_run("d12", 12, batch_tokens=2**19, iterations=2520, weight_decay=0.28),
        large_run("d20", 20, batch_tokens=2**20, iterations=4980, weight_decay=0.1002),
    )
    return {run.name: run for run in runs}


def named_config(name: str) -> RunConfig:
    configs = all_configs()
    if name not in configs:
        raise ValueError(f"config={name!r}: choose from {sorted(configs)}")
    return configs[name]


def main() -> int:
    """`python -m nanochat.config NAME` prints the configuration as one JSON object."""
    if len(sys.argv) != 2 or sys.argv[1] not in all_configs():
        print(f"config={' '.join(sys.argv[1:])!r}: choose from {', '.join(sorted(all_configs()))}", file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(named_config(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
