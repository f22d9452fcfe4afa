"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def relu2(h: Tensor) -> Tensor:
    return F.relu(h).square()


def product(h: Tensor) -> Tensor:
    """As a product with itself: no power for autograd to differentiate, but a sum of two gradients."""
    positive = F.relu(h)
    return positive * positive


def clamped(h: Tensor) -> Tensor:
    """One tensor is saved instead of two, and masked instead of multiplied."""
    return h * F.relu(h)


RIVALS: dict[str, Callable[[Tensor], Tensor]] = {"product": product, "clamped": clamped}
