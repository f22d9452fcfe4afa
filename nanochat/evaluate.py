"""Bits per byte: a loss that does not depend on the vocabulary."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from nanochat.dataloader import Batch
from nanochat.gpt import GPT


@torch.no_grad()
def bits_per_byte(model: GPT, batches: Iterable[Batch], token_bytes: Tensor) -> float:
    """Loss in bits over the bytes that the target tokens stand for; special and ignored (-1) targets do not count.

    token_bytes is (vocab_size,), 0 for special tokens. Each batch is summed in float32, batches in float64. Infinite
    where no target counts.
    """
    total_nats, total_bytes = 0.0, 0
    for inputs_BT, targets_BT in batches:
        nats = model(inputs_BT, targets_BT, "none")
        targets = targets_BT.flatten()
        n_bytes = torch.where(targets >= 0, token_bytes[targets.clamp_min(0)], 0)
        total_nats += (nats * (n_bytes > 0)).sum().item()
        total_bytes += int(n_bytes.sum())
    return total_nats / (math.log(2) * total_bytes) if total_bytes else math.inf
