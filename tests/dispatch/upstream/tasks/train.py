"""Trains the stand-in for a few steps and prints its losses: `python -m tasks.train [STATUS]`, STATUS to end with."""

import sys
from types import SimpleNamespace

import torch
from nanochat.common import compute_init

from nanochat.gpt import GPT
from nanochat.optim import Optimizer

CONFIG = SimpleNamespace(
    n_layer=2, n_head=4, n_kv_head=2, n_embd=64, vocab_size=100, sequence_len=32, window=8
)  # fmt: skip


def main():
    compute_init()
    torch.manual_seed(1)
    model = GPT(CONFIG)
    optimizer = Optimizer(model)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        tokens = torch.randint(0, 100, (2, 33), generator=generator)
        loss = model(tokens[:, :-1], tokens[:, 1:].contiguous())
        loss.backward()
        optimizer.step()
        print(loss.item())
    sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)


if __name__ == "__main__":
    main()
