"""Training's call, in the contract's terms: the gate's weights in float32, the factor 0-dimensional."""

from collections.abc import Callable

from torch import Tensor


def smear_embed(kernel: Callable[..., Tensor], rows: Tensor, gate_weight: Tensor, smear_lambda: Tensor) -> Tensor:
    return kernel(rows, gate_weight.float(), smear_lambda.float().reshape(()))
