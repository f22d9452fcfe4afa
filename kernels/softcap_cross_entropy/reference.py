"""Float64 oracle of soft-capped cross-entropy, its condition magnitudes and its accumulation lengths.

Rows are taken a few at a time and checkpointed, so that beyond the N x V results only a slice is ever held.
Axes: N rows, V vocabulary, R rows of a slice.
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CAP = 15.0
ROWS = 128

# Rows along this axis do not depend on each other: the judge may compare any of them.
softcap_cross_entropy_ROW_AXIS = "N"  # noqa: N816
# The exponentials of a row are, or nearly are, one number.
softcap_cross_entropy_REPEATING = dict.fromkeys(("constant", "small"), ("loss", "dlogits"))  # noqa: N816
softcap_cross_entropy_LEANING_ROWS = ("dlogits",)  # noqa: N816


def softcap_cross_entropy(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    slices = zip(inputs["logits"].split(ROWS), inputs["targets"].split(ROWS), strict=True)
    return {"loss": torch.cat([checkpoint(_losses, *one, use_reentrant=False) for one in slices])}


def _losses(logits_RV: Tensor, targets_R: Tensor) -> Tensor:
    capped_RV = CAP * torch.tanh(logits_RV / CAP)
    chosen_R = capped_RV.gather(1, targets_R.clamp(min=0)[:, None])[:, 0]
    return (capped_RV.logsumexp(dim=1) - chosen_R).where(targets_R >= 0, 0.0)


def softcap_cross_entropy_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Capped logits carry absolute errors of CAP roundings or two (tanh of any form), so do their log-sum and loss.

    With p the softmax: a relative error of 1 + 2 CAP in p, and absolute errors of a rounding or two in
    1 - tanh^2, which saturates to 0.
    """
    logits_NV, targets_N = inputs["logits"], inputs["targets"]
    valid_N = targets_N >= 0
    found = {"loss": torch.empty(len(targets_N), dtype=torch.float64)}
    if output_gradients is not None:
        found["dlogits"] = torch.empty_like(logits_NV)
    for begin in range(0, len(targets_N), ROWS):
        rows = slice(begin, begin + ROWS)
        tanh_RV = torch.tanh(logits_NV[rows] / CAP)
        index_R1 = targets_N[rows].clamp(min=0)[:, None]
        lse_R = (CAP * tanh_RV).logsumexp(dim=1)
        chosen_R = CAP * tanh_RV.gather(1, index_R1)[:, 0]
        found["loss"][rows] = (2 * CAP + lse_R.abs() + chosen_R.abs()) * valid_N[rows]
        if output_gradients is not None:
            p_RV = (CAP * tanh_RV - lse_R[:, None]).exp_()
            hot_RV = torch.zeros_like(p_RV).scatter_(1, index_R1, 1.0)
            slope_RV = 1 - tanh_RV.square_()
            c_RV = (p_RV * (1 + 2 * CAP) + hot_RV) * slope_RV + 2 * (p_RV + hot_RV)
            found["dlogits"][rows] = c_RV * (output_gradients["dloss"][rows].abs() * valid_N[rows])[:, None]
    return found


def softcap_cross_entropy_stored_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """A gradient that was rounded before it is scaled is off by its own size."""
    found = {"loss": torch.zeros_like(outputs["loss"])}
    if output_gradients is not None:
        dloss_N = output_gradients["dloss"] * (inputs["targets"] >= 0)
        found["dlogits"] = _scaled_gradients(inputs["logits"], inputs["targets"], dloss_N).abs_()
    return found


def _scaled_gradients(logits_NV: Tensor, targets_N: Tensor, dloss_N: Tensor) -> Tensor:
    found_NV = torch.empty_like(logits_NV)
    for begin in range(0, len(targets_N), ROWS):
        rows = slice(begin, begin + ROWS)
        tanh_RV = torch.tanh(logits_NV[rows] / CAP)
        p_RV = (CAP * tanh_RV).softmax(dim=1)
        index_R1 = targets_N[rows].clamp(min=0)[:, None]
        p_RV.scatter_add_(1, index_R1, torch.full_like(p_RV[:, :1], -1.0))
        found_NV[rows] = p_RV.mul_(1 - tanh_RV.square_()).mul_(dloss_N[rows, None])
    return found_NV


def softcap_cross_entropy_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """The sum over the vocabulary, and a chain of some sixteen operations an element."""
    return {"loss": sizes["V"] + 16, "dlogits": sizes["V"] + 16}
