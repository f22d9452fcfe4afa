"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def relu2_mlp(x: Tensor, fc_weight: Tensor, proj_weight: Tensor) -> Tensor:
    """x (..., C), fc (F, C), proj (C, F); the weights are cast to the dtype of x."""
    return F.linear(F.relu(F.linear(x, fc_weight.to(x.dtype))).square(), proj_weight.to(x.dtype))


def in_place(x: Tensor, fc_weight: Tensor, proj_weight: Tensor) -> Tensor:
    """The positive part overwrites the product that nobody reads again."""
    return F.linear(F.linear(x, fc_weight.to(x.dtype)).relu_().square(), proj_weight.to(x.dtype))


def features_first(x: Tensor, fc_weight: Tensor, proj_weight: Tensor) -> Tensor:
    """Features as rows: the products read their long operands along memory."""
    rows = x.reshape(-1, x.shape[-1])
    activated = F.relu(torch.mm(fc_weight.to(x.dtype), rows.T)).square()
    return torch.mm(activated.T, proj_weight.to(x.dtype).T).view(x.shape)


def between_products(relu2: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Both products as eager makes them, and a kernel between: what a kernel for all three has to beat."""

    def composed(x: Tensor, fc_weight: Tensor, proj_weight: Tensor) -> Tensor:
        return F.linear(relu2(F.linear(x, fc_weight.to(x.dtype))), proj_weight.to(x.dtype))

    return composed


RIVALS: dict[str, Callable[..., Tensor]] = {"in_place": in_place, "features_first": features_first}
PARTS = {"relu2": between_products}
