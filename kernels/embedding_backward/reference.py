"""Oracle of both entries. Axes: N positions, V table rows, C channels."""

import numpy as np
import torch
from torch import Tensor

# Channels do not depend on each other: the judge may compare any of them.
embedding_ROW_AXIS = "C"  # noqa: N816


def token_order(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    return {"order": torch.from_numpy(np.argsort(inputs["tokens"].numpy(), kind="stable"))}


def token_order_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Integers are exact."""
    return {"order": torch.zeros(len(outputs["order"]))}


def token_order_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    return {"order": 0}


class _LookUp(torch.autograd.Function):
    """Row n is table[tokens[n]]; its gradient counts as often as n stands in `order`."""

    @staticmethod
    def forward(ctx, table_VC: Tensor, tokens_N: Tensor, order_N: Tensor) -> Tensor:
        ctx.save_for_backward(tokens_N, order_N)
        ctx.n_rows = len(table_VC)
        return table_VC[tokens_N]

    @staticmethod
    def backward(ctx, drows_NC: Tensor) -> tuple[Tensor, None, None]:
        tokens_N, order_N = ctx.saved_tensors
        return _sum_by_token(drows_NC, tokens_N, order_N, ctx.n_rows), None, None


def embedding(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    return {"rows": _LookUp.apply(inputs["table"], inputs["tokens"], inputs["order"])}


def _sum_by_token(rows_NC: Tensor, tokens_N: Tensor, order_N: Tensor, n_rows: int) -> Tensor:
    totals_VC = rows_NC.new_zeros(n_rows, rows_NC.shape[1])
    return totals_VC.index_add_(0, tokens_N[order_N], rows_NC[order_N])


def embedding_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """A copy has no error, nor has a sum of one term; a sum of n has the growth of n roundings (docs/numerics.md).

    The growth stands here and not in the terms, because each row has an n of its own.
    """
    found = {"rows": torch.zeros_like(outputs["rows"])}
    if output_gradients is None:
        return found
    tokens_N, order_N, n_rows = inputs["tokens"], inputs["order"], len(inputs["table"])
    c_VC = _sum_by_token(output_gradients["drows"].abs(), tokens_N, order_N, n_rows)
    n_V1 = torch.bincount(tokens_N[order_N], minlength=n_rows)[:, None]
    return found | {"dtable": c_VC * torch.where(n_V1 > 1, 1 + 0.75 * n_V1.sqrt(), 0.0)}


def embedding_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    return {"rows": 0, "dtable": 0}
