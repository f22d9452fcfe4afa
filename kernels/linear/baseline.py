"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

CAP = 15.0


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x (..., C), weight (O, C); the weight is cast to the dtype of x."""
    return F.linear(x, weight.to(x.dtype))


def outputs_first(x: Tensor, weight: Tensor) -> Tensor:
    """The outputs as rows: the library's other order, and a result that lies the other way round."""
    rows = x.reshape(-1, x.shape[-1])
    return torch.mm(weight.to(x.dtype), rows.T).T.contiguous().view(*x.shape[:-1], weight.shape[0])


def turned_once(x: Tensor, weight: Tensor) -> Tensor:
    """The weight is turned in memory first, so that the library reads both operands along their rows."""
    return F.linear(x, weight.to(x.dtype).T.contiguous().T)


def in_relu2_mlp(linear: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A kernel for each product of the feed-forward layer, the activation between as eager makes it."""

    def composed(x: Tensor, fc_weight: Tensor, proj_weight: Tensor) -> Tensor:
        return linear(F.relu(linear(x, fc_weight)).square(), proj_weight)

    return composed


def in_head(linear: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A kernel for the head's product, cap and loss as eager makes them."""

    def composed(x: Tensor, weight_VC: Tensor, targets: Tensor, vocab_size: int, reduction: str = "mean") -> Tensor:
        capped = CAP * torch.tanh(linear(x, weight_VC)[..., :vocab_size].float() / CAP)
        return F.cross_entropy(capped.flatten(0, -2), targets.flatten(), ignore_index=-1, reduction=reduction)

    return composed


RIVALS: dict[str, Callable[..., Tensor]] = {"outputs_first": outputs_first, "turned_once": turned_once}
# Entries of other targets in which a kernel of this one is a rival; training calls it elsewhere all the same.
SERVES = {"relu2_mlp": in_relu2_mlp, "linear_softcap_cross_entropy": in_head}
