"""Checkpoints under upstream's file names and keys, written so that a half-written one is never taken for whole.

Four files per step; the JSON one is written last, and a checkpoint without it does not exist.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nanochat.files import write_atomically


@dataclass(frozen=True)
class Checkpoint:
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    random: dict[str, torch.Tensor]  # states of the global generators, by device type
    meta: dict[str, Any]


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    write_atomically(folder / f"model_{step:06d}.pt", pickled(checkpoint.model))
    write_atomically(folder / f"optim_{step:06d}_rank0.pt", pickled(checkpoint.optimizer))
    write_atomically(folder / f"random_{step:06d}_rank0.pt", pickled(checkpoint.random))
    write_atomically(folder / f"meta_{step:06d}.json", json.dumps(checkpoint.meta, indent=2).encode())


def load_checkpoint(folder: Path, step: int, device: torch.device) -> Checkpoint:
    """Raises FileNotFoundError where a file is missing; loads tensors and plain containers only."""
    meta = json.loads((folder / f"meta_{step:06d}.json").read_text())
    return Checkpoint(
        model=torch.load(folder / f"model_{step:06d}.pt", map_location=device, weights_only=True),
        optimizer=torch.load(folder / f"optim_{step:06d}_rank0.pt", map_location=device, weights_only=True),
        random=torch.load(folder / f"random_{step:06d}_rank0.pt", map_location="cpu", weights_only=True),
        meta=meta,
    )


def latest_step(folder: Path) -> int | None:
    """Step of the newest complete checkpoint."""
    steps = [int(path.stem.removeprefix("meta_")) for path in folder.glob("meta_*.json")]
    return max(steps, default=None)


def random_states() -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
