"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

CAP = 15.0
CHUNK_ROWS = 128


def softcap_cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """logits (..., V), targets (...); "mean" is over targets that are not -1, "none" gives a flat loss a row."""
    capped = CAP * torch.tanh(logits.float() / CAP)
    return cross_entropy(capped.flatten(0, -2), targets.flatten(), ignore_index=-1, reduction=reduction)


def softcap_cross_entropy_contract(logits: Tensor, targets: Tensor) -> Tensor:
    return softcap_cross_entropy(logits, targets, "none")


def chunked(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """A hundred rows at a time, so that intermediates stay in the cache."""
    rows = zip(logits.flatten(0, -2).split(CHUNK_ROWS), targets.flatten().split(CHUNK_ROWS), strict=True)
    loss = torch.cat([softcap_cross_entropy(*one, "none") for one in rows])
    return loss if reduction == "none" else loss.sum() / (targets >= 0).sum()


RIVALS: dict[str, Callable[..., Tensor]] = {"chunked": chunked}
