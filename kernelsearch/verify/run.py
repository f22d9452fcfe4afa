"""How gates see a candidate: a function from tensors to tensors, or a failure with a status."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from kernelsearch.spec.record import Status

Tensors = Mapping[str, Tensor]


class CandidateFailure(Exception):
    """What a candidate did wrong: the status it earns, a sentence, and the smallest case known to show it."""

    def __init__(self, status: Status, detail: str, counterexample: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.counterexample = counterexample


class Run(Protocol):
    """Executes the candidate once.

    Returns outputs and updated inputs by name; with `output_gradients` (by output name, "d" in front) also the input
    gradients. `shift` moves every buffer by that many elements from its 64-byte boundary.
    """

    def __call__(
        self,
        entry: str,
        sizes: Mapping[str, int],
        parameters: Mapping[str, int | float],
        inputs: Tensors,
        output_gradients: Tensors | None = None,
        *,
        shift: int = 0,
    ) -> dict[str, Tensor]: ...
