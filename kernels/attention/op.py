"""Training's call of attention, put in the contract's terms: contiguous tensors, the window as a number."""

from collections.abc import Callable

from torch import Tensor


def attention(kernel: Callable[..., Tensor], q_BTHD: Tensor, k_BTKD: Tensor, v_BTKD: Tensor, window: int) -> Tensor:
    return kernel(q_BTHD.contiguous(), k_BTKD.contiguous(), v_BTKD.contiguous(), window=window)
