"""Training's calls of the norms, in the contract's terms: rows of the last axis, 0-dimensional float32 scalars."""

from collections.abc import Callable

from torch import Tensor


def rms_norm(kernel: Callable[..., Tensor], x: Tensor) -> Tensor:
    return kernel(x.reshape(-1, x.shape[-1]).contiguous()).view(x.shape)


def mix_norm(
    kernel: Callable[..., tuple[Tensor, Tensor]], x: Tensor, x0: Tensor, resid_lambda: Tensor, x0_lambda: Tensor
) -> tuple[Tensor, Tensor]:
    rows = [tensor.reshape(-1, x.shape[-1]).contiguous() for tensor in (x, x0)]
    scalars = [scalar.float().reshape(()) for scalar in (resid_lambda, x0_lambda)]
    mixed, normed = kernel(*rows, *scalars)
    return mixed.view(x.shape), normed.view(x.shape)
