import math

import pytest
import torch

from nanochat.dataloader import Batch
from nanochat.evaluate import bits_per_byte

TOKEN_BYTES = torch.tensor([2, 3, 0], dtype=torch.int32)


class FixedLoss(torch.nn.Module):
    """Answers every token with a loss of one bit times (its id + 1)."""

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
        assert reduction == "none"
        return (targets.flatten() + 1).clamp_min(0) * math.log(2)


def bpb(*targets: list[int]) -> float:
    batches = [Batch(torch.zeros(1, len(row), dtype=torch.long), torch.tensor([row])) for row in targets]
    return bits_per_byte(FixedLoss(), batches, TOKEN_BYTES)  # type: ignore[arg-type]


def test_bits_are_divided_by_bytes():
    assert bpb([0, 1, 1]) == pytest.approx((1 + 2 + 2) / (2 + 3 + 3))


def test_special_and_ignored_targets_do_not_count():
    assert bpb([0, 2, -1, 1]) == pytest.approx(bpb([0, 1]))


def test_batches_weigh_by_their_bytes():
    assert bpb([0], [1, 1]) == pytest.approx(bpb([0, 1, 1]))


def test_no_counted_target_means_infinity():
    assert bpb([2, -1]) == math.inf
