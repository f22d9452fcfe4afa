"""Training's call of the loss, put in the contract's terms: flat rows, a loss each, and the mean over valid targets."""

from collections.abc import Callable

from torch import Tensor


def softcap_cross_entropy(
    kernel: Callable[..., Tensor], logits: Tensor, targets: Tensor, reduction: str = "mean"
) -> Tensor:
    flat_targets = targets.reshape(-1).contiguous()
    loss = kernel(logits.reshape(-1, logits.shape[-1]).contiguous(), flat_targets)
    return loss if reduction == "none" else loss.sum() / (flat_targets >= 0).sum()
