"""One training run: model, optimizer, data and their common state."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from nanochat.checkpoint import (
    Checkpoint,
    load_checkpoint,
    random_states,
    restore_random_states,
    save_checkpoint,
)
from nanochat.config import RunConfig
from nanochat.corpus import open_corpus, open_tokenizer
from nanochat.dataloader import Batch, PackedLoader
from nanochat.evaluate import bits_per_byte
from nanochat.gpt import build_model
from nanochat.ops import Ops
from nanochat.optim import make_optimizer

SMOOTHING = 0.9  # of the reported training loss


@dataclass(frozen=True)
class StepResult:
    loss: float  # mean over the step's forward passes
    seconds: float
    tokens: int


class Loader(Protocol):
    def next_batch(self) -> Batch: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Trainer:
    """Owns everything that changes during training; `save` and `load` restore it exactly."""

    def __init__(
        self,
        config: RunConfig,
        ops: Ops,
        device: torch.device,
        dtype: torch.dtype,
        seed: int,
        cache_dir: Path,
        data_dir: Path | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        """dtype is the compute dtype; the seed draws the weights. compiled runs the model through torch.compile."""
        self.config, self.seed, self.device, self.dtype = config, seed, device, dtype
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        self.corpus = open_corpus(cache_dir, data_dir)
        tokenizer = open_tokenizer(self.corpus, config.vocab_size, cache_dir)
        self.token_bytes = tokenizer.token_bytes().to(device)
        rows: dict[str, Any] = {"rows": config.batch_rows, "length": config.sequence_len, "device": device}
        self.loader: Loader = PackedLoader(self.corpus.train_paths, tokenizer, **rows, pack=ops.pack_documents)
        val_loader = PackedLoader(self.corpus.val_paths, tokenizer, **rows, pack=ops.pack_documents)
        self.val_batches = [val_loader.next_batch() for _ in range(config.eval_batches)]
        self.model = build_model(config.model, ops, device=device, dtype=dtype, seed=seed)
        self.forward = torch.compile(self.model, dynamic=False) if compiled else self.model
        self.optimizer = make_optimizer(self.model, config.rates)
        self.steps_done = 0
        self.training_seconds = 0.0
        self.val_bpb: float | None = None
        self.min_val_bpb = float("inf")
        self._loss_average = 0.0

    @property
    def is_finished(self) -> bool:
        return self.steps_done >= self.config.iterations

    @property
    def smooth_loss(self) -> float:
        """Exponential average of the training loss, corrected for its start at zero."""
        return self._loss_average / (1 - SMOOTHING**self.steps_done) if self.steps_done else float("nan")

    def step(self) -> StepResult:
        """One optimizer step; the time covers reading its batches and ends when the device is done."""
        started = time.perf_counter()
        loss = torch.zeros((), device=self.device)
        for _ in range(self.config.micro_steps):
            inputs_BT, targets_BT = self.loader.next_batch()
            micro_loss = self.forward(inputs_BT, targets_BT) / self.config.micro_steps
            micro_loss.backward()
            loss += micro_loss.detach()
        self.optimizer.set_schedule(self.config.schedule, self.steps_done)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        self._synchronize()
        seconds = time.perf_counter() - started
        self.steps_done += 1
        self.training_seconds += seconds
        self._loss_average = SMOOTHING * self._loss_average + (1 - SMOOTHING) * value
        return StepResult(value, seconds, self.config.batch_tokens)

    def evaluate(self) -> float:
        """Bits per byte on the head of the validation shard, the same batches every time."""
        self.val_bpb = bits_per_byte(self.model, self.val_batches, self.token_bytes)
        self.min_val_bpb = min(self.min_val_bpb, self.val_bpb)
        return self.val_bpb

    def save(self, folder: Path) -> None:
        meta = {
            "step": self.steps_done,
            "val_bpb": self.val_bpb,
            "model_config": dataclasses.asdict(self.config.model),
            "user_config": dataclasses.asdict(self.config),
            "device_batch_size": self.config.batch_rows,
            "max_seq_len": self.config.sequence_len,
            "total_batch_size": self.config.batch_tokens,
            "dataloader_state_dict": self.loader.state_dict(),
            "loop_state": {
                "min_val_bpb": self.min_val_bpb if self.val_bpb is not None else None,
                "smooth_train_loss": self._loss_average,
                "total_training_time": self.training_seconds,
            },
            "seed": self.seed,
            "corpus": self.corpus.digest,
        }
        checkpoint = Checkpoint(self.model.state_dict(), self.optimizer.state_dict(), random_states(), meta)
        save_checkpoint(folder, self.steps_done, checkpoint)

    def load(self, folder: Path, step: int) -> None:
        """Continue from a checkpoint of the same model on the same corpus."""
        checkpoint = load_checkpoint(folder, step, self.device)
        meta = checkpoint.meta
        if meta["corpus"] != self.corpus.digest:
            raise ValueError(f"corpus={self.corpus.digest}: the checkpoint was trained on {meta['corpus']}")
        if meta["model_config"] != dataclasses.asdict(self.config.model):
            raise ValueError(f"model_config={meta['model_config']}: the checkpoint holds another model")
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.loader.load_state_dict(meta["dataloader_state_dict"])
        restore_random_states(checkpoint.random)
        loop = meta["loop_state"]
        self.steps_done, self.seed, self.val_bpb = meta["step"], meta["seed"], meta["val_bpb"]
        self.min_val_bpb = float("inf") if loop["min_val_bpb"] is None else loop["min_val_bpb"]
        self._loss_average, self.training_seconds = loop["smooth_train_loss"], loop["total_training_time"]

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
