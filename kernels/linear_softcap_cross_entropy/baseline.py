"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

CAP = 15.0
CHUNK_ROWS = 256


def linear_softcap_cross_entropy(
    x: Tensor, weight_VC: Tensor, targets: Tensor, vocab_size: int, reduction: str = "mean"
) -> Tensor:
    """x (..., C), targets (...); "mean" is over targets that are not -1, "none" gives a flat loss a row."""
    logits = linear(x, weight_VC.to(x.dtype))[..., :vocab_size]
    capped = CAP * torch.tanh(logits.float() / CAP)
    return cross_entropy(capped.flatten(0, -2), targets.flatten(), ignore_index=-1, reduction=reduction)


def linear_softcap_cross_entropy_contract(
    x_NC: Tensor, weight_VC: Tensor, targets_N: Tensor, vocab_size: int
) -> Tensor:
    return linear_softcap_cross_entropy(x_NC, weight_VC, targets_N, vocab_size, "none")


def chunked(x: Tensor, weight_VC: Tensor, targets: Tensor, vocab_size: int, reduction: str = "mean") -> Tensor:
    """Some rows at a time, so that logits and what follows stay in the cache; autograd keeps them all."""
    return _by_rows(linear_softcap_cross_entropy, x, weight_VC, targets, vocab_size, reduction)


def checkpointed(x: Tensor, weight_VC: Tensor, targets: Tensor, vocab_size: int, reduction: str = "mean") -> Tensor:
    """Some rows at a time, computed again in the backward: no logits are kept, for a fourth product."""

    def again(*arguments: object) -> Tensor:
        return checkpoint(linear_softcap_cross_entropy, *arguments, use_reentrant=False)

    return _by_rows(again, x, weight_VC, targets, vocab_size, reduction)


def _by_rows(
    function: Callable[..., Tensor], x: Tensor, weight_VC: Tensor, targets: Tensor, vocab_size: int, reduction: str
) -> Tensor:
    weight_VC = weight_VC.to(x.dtype)
    rows = zip(x.flatten(0, -2).split(CHUNK_ROWS), targets.flatten().split(CHUNK_ROWS), strict=True)
    loss = torch.cat([function(some, weight_VC, chosen, vocab_size, "none") for some, chosen in rows])
    return loss if reduction == "none" else loss.sum() / (targets >= 0).sum()


def after_product(softcap_cross_entropy: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The product as eager makes it, and a kernel for the rest: what a kernel for both has to beat."""

    def composed(x: Tensor, weight_VC: Tensor, targets: Tensor, vocab_size: int, reduction: str = "mean") -> Tensor:
        logits = linear(x, weight_VC.to(x.dtype))[..., :vocab_size]
        return softcap_cross_entropy(logits, targets, reduction)

    return composed


RIVALS: dict[str, Callable[..., Tensor]] = {"chunked": chunked, "checkpointed": checkpointed}
PARTS = {"softcap_cross_entropy": after_product}
