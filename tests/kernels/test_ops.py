"""Training's call through op.py gives what the eager op gives, every gradient included: the judge never sees op.py."""

import pytest
import torch

import nanochat.ops as eager
from kernelsearch.spec import TargetFolder, library_path

BATCH, LENGTH, HEADS, WIDTH, ROWS = 2, 5, 3, 8, 11


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape)


def tokens() -> torch.Tensor:
    return torch.randint(ROWS, (BATCH, LENGTH))


def value_mix_call(order: bool):
    batch, x = tokens(), draw(BATCH, LENGTH, 24)
    leaves = [draw(BATCH, LENGTH, HEADS, WIDTH), x, draw(HEADS, 12), draw(ROWS, HEADS * WIDTH)]
    known = eager.token_order(batch, ROWS) if order else None
    return leaves, lambda op, v, x, weight, table: op(v, x[..., :12], weight, table, batch, known)


CALLS = {
    "value_mix": lambda: value_mix_call(order=True),
    "value_mix without an order": lambda: value_mix_call(order=False),
    "smear_embed": lambda: ([draw(BATCH, LENGTH, 32), draw(1, 24), draw(1)], lambda op, *a: op(*a)),
    "smear_embed of one token": lambda: ([draw(1, 1, 32), draw(1, 24), draw(1)], lambda op, *a: op(*a)),
    "linear": lambda: ([draw(BATCH, LENGTH, 32), draw(7, 32)], lambda op, *a: op(*a)),
    "linear of a slice": lambda: ([draw(BATCH, LENGTH, 32), draw(7, 12)], lambda op, x, w: op(x[..., :12], w)),
    "backout_norm": lambda: ([draw(BATCH, LENGTH, 32), draw(BATCH, LENGTH, 32), draw(1)], lambda op, *a: op(*a)),
}


def results(op, call, leaves) -> list[torch.Tensor]:
    """The result, and the gradient of each leaf under a fixed upstream one."""
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    out = call(op, *leaves)
    upstream = torch.linspace(-1, 1, out.numel()).view(out.shape)
    found = torch.autograd.grad(out, leaves, upstream, allow_unused=True)
    return [out.detach(), *(torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True))]


@pytest.mark.parametrize("name", CALLS)
def test_an_adapter_over_the_baseline_is_the_eager_op(name):
    torch.manual_seed(0)
    leaves, call = CALLS[name]()
    entry = name.split()[0]
    folder = TargetFolder(library_path() / entry)
    adapt, kernel = getattr(folder.module("op"), entry), getattr(folder.module("baseline"), entry)
    ours = results(lambda *arguments: adapt(kernel, *arguments), call, leaves)
    theirs = results(getattr(eager, entry), call, leaves)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
