"""Training's call of head and loss, put in the contract's terms: flat rows, a loss each, the mean over valid targets.

The head's weight is kept in float32 and cast to the activations' dtype in every call, as nanochat's linear layers do.
"""

from collections.abc import Callable

from torch import Tensor


def linear_softcap_cross_entropy(
    kernel: Callable[..., Tensor],
    x_BTC: Tensor,
    weight_VC: Tensor,
    targets_BT: Tensor,
    vocab_size: int,
    reduction: str = "mean",
) -> Tensor:
    x_NC = x_BTC.reshape(-1, x_BTC.shape[-1]).contiguous()
    targets_N = targets_BT.reshape(-1).contiguous()
    loss_N = kernel(x_NC, weight_VC.to(x_BTC.dtype).contiguous(), targets_N, vocab_size=vocab_size)
    return loss_N if reduction == "none" else loss_N.sum() / (targets_N >= 0).sum()
