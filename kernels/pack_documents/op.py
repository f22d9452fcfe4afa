"""The loader's call of the packing, which is in the contract's terms already."""

from collections.abc import Callable

from torch import Tensor


def pack_documents(
    kernel: Callable[..., tuple[Tensor, Tensor]], lengths: Tensor, *, capacity: int, filled: int, rows: int, keep: int
) -> tuple[Tensor, Tensor]:
    return kernel(lengths, capacity=capacity, filled=filled, rows=rows, keep=keep)
