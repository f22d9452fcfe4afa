"""Ways to compute the same sums, products and functions in float32 or less: the honest ones and the forbidden ones.

A way is one `Arithmetic`; the targets' formulas (tests/verify/emulation.py) call it for every step that may differ.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Rounding = Callable[[Tensor], Tensor]


def keep(x: Tensor) -> Tensor:
    return x


def to_bfloat16(x: Tensor) -> Tensor:
    return x.bfloat16().to(x.dtype)


def to_half(x: Tensor) -> Tensor:
    return x.half().to(x.dtype)


def to_tf32(x: Tensor) -> Tensor:
    """Ten bits after the leading one, round to nearest."""
    return ((x.float().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def to_12_bits(x: Tensor) -> Tensor:
    """What a fast approximation of a function is right to: twelve bits."""
    return ((x.float().view(torch.int32) + 0x400) & ~0x7FF).view(torch.float32)


@dataclass(frozen=True)
class Arithmetic:
    """`load` rounds inputs, `accumulator` every partial sum, `function` results of rsqrt, exp and tanh, and `store` the
    named intermediates `stored`. `order` is "torch", "serial", "reversed" or "blocked"; `wide` computes in float64."""

    load: Rounding = keep
    accumulator: Rounding = keep
    function: Rounding = keep
    store: Rounding = keep
    stored: tuple[str, ...] = ()
    order: str = "torch"
    wide: bool = False

    def read(self, x: Tensor) -> Tensor:
        return self.load(x.double() if self.wide else x.float())

    def keep_as(self, name: str, x: Tensor) -> Tensor:
        return self.store(x) if name in self.stored else x

    def sum(self, x: Tensor) -> Tensor:
        """Over the last axis, which is kept with length one."""
        terms = x.movedim(-1, 0)
        return self._add_up(terms[:, ..., None] if x.dim() == 1 else terms.unsqueeze(-1))

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """(I, K) times (K, J)."""
        if self.order == "torch" and self.accumulator is keep:
            return a @ b
        return self._add_up(a.T[:, :, None] * b[:, None, :])

    def _add_up(self, terms: Tensor) -> Tensor:
        if self.order == "blocked":
            terms = torch.stack([block.sum(0) for block in terms.split(32)])
        if self.order == "torch" and self.accumulator is keep:
            return terms.sum(0)
        total = torch.zeros_like(terms[0])
        for term in terms.flip(0) if self.order == "reversed" else terms:
            total = self.accumulator(total + term)
        return total


HONEST = {
    "torch": Arithmetic(),
    "serial": Arithmetic(order="serial"),
    "reversed": Arithmetic(order="reversed"),
    "blocked": Arithmetic(order="blocked"),
    "float64": Arithmetic(wide=True),
}
# What no target allows in float32.
LOWER = {
    "tf32 inputs": Arithmetic(load=to_tf32),
    "bf16 inputs": Arithmetic(load=to_bfloat16),
    "fp16 accumulator": Arithmetic(accumulator=to_half),
    "bf16 accumulator": Arithmetic(accumulator=to_bfloat16),
    "12-bit functions": Arithmetic(function=to_12_bits),
}
