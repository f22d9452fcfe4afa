"""Float64 oracle of a linear layer's soft-capped cross-entropy, its condition magnitudes and its accumulation lengths.

Rows are taken a few at a time and checkpointed, so that only a slice of the logits is ever held.
Axes: N rows, C channels, V rows of the weight that count, R rows of a slice.

With t, s = 1 - t^2 and p the tanh, slope and softmax of a row, and a = |x||weight|^T the magnitude of its logits: a
capped logit is off by s a from the product and by CAP roundings or two from the cap, a probability by what its own and
the mean capped logit are, the slope by 2 |t| s a / CAP and a rounding or two. The gradients' sums follow with every
term positive.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CAP = 15.0
ROWS = 128

# Every term of every sum is one number, or the exponentials of a row nearly are.
linear_softcap_cross_entropy_REPEATING = dict.fromkeys(("constant", "small"), ("loss", "dx", "dweight"))  # noqa: N816
linear_softcap_cross_entropy_LEANING_ROWS = ("dx", "dweight")  # noqa: N816


def linear_softcap_cross_entropy(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    weight_VC = inputs["weight"][: parameters["vocab_size"]]
    slices = zip(inputs["x"].split(ROWS), inputs["targets"].split(ROWS), strict=True)
    return {"loss": torch.cat([checkpoint(_losses, x, weight_VC, t, use_reentrant=False) for x, t in slices])}


def _losses(x_RC: Tensor, weight_VC: Tensor, targets_R: Tensor) -> Tensor:
    capped_RV = CAP * torch.tanh(x_RC @ weight_VC.T / CAP)
    chosen_R = capped_RV.gather(1, targets_R.clamp(min=0)[:, None])[:, 0]
    return (capped_RV.logsumexp(dim=1) - chosen_R).where(targets_R >= 0, 0.0)


@dataclass(frozen=True)
class Slice:
    """What the backward knows of some rows."""

    tanh_RV: Tensor
    slope_RV: Tensor
    p_RV: Tensor
    hot_RV: Tensor
    lse_R: Tensor


def _slice(x_RC: Tensor, weight_VC: Tensor, targets_R: Tensor) -> Slice:
    tanh_RV = torch.tanh(x_RC @ weight_VC.T / CAP)
    lse_R = (CAP * tanh_RV).logsumexp(dim=1)
    p_RV = (CAP * tanh_RV - lse_R[:, None]).exp_()
    hot_RV = torch.zeros_like(p_RV).scatter_(1, targets_R.clamp(min=0)[:, None], 1.0)
    return Slice(tanh_RV, 1 - tanh_RV.square(), p_RV, hot_RV, lse_R)


def linear_softcap_cross_entropy_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    x_NC, weight_VC = inputs["x"].abs(), inputs["weight"][: parameters["vocab_size"]]
    found = {"loss": torch.empty_like(outputs["loss"])}
    if output_gradients is not None:
        found |= {"dx": torch.empty_like(x_NC), "dweight": torch.zeros_like(inputs["weight"])}
    for begin in range(0, len(x_NC), ROWS):
        rows = slice(begin, begin + ROWS)
        targets_R = inputs["targets"][rows]
        part = _slice(inputs["x"][rows], weight_VC, targets_R)
        moved_RV = part.slope_RV * (x_NC[rows] @ weight_VC.abs().T)
        mean_R = (part.p_RV * moved_RV).sum(dim=1)
        own_R = (part.hot_RV * (moved_RV + CAP * part.tanh_RV.abs())).sum(dim=1)
        found["loss"][rows] = (2 * CAP + mean_R + own_R + part.lse_R.abs()) * (targets_R >= 0)
        if output_gradients is not None:
            c_p_RV = part.p_RV * (1 + 2 * CAP + moved_RV + mean_R[:, None])
            c_slope_RV = 2 + (2 / CAP) * part.tanh_RV.abs() * moved_RV
            c_RV = (c_p_RV + part.hot_RV) * part.slope_RV + (part.p_RV + part.hot_RV) * c_slope_RV
            c_RV *= (output_gradients["dloss"][rows].abs() * (targets_R >= 0))[:, None]
            found["dx"][rows] = c_RV @ weight_VC.abs()
            found["dweight"][: len(weight_VC)] += c_RV.T @ x_NC[rows]
    return found


def linear_softcap_cross_entropy_stored_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Root of the summed squares of what each rounding moves, plus the magnitude of the result itself."""
    found = {"loss": torch.zeros_like(outputs["loss"])}
    if output_gradients is None:
        return found
    x_NC, weight_VC = inputs["x"], inputs["weight"][: parameters["vocab_size"]]
    dx_NC, dweight_VC = torch.empty_like(x_NC), torch.zeros_like(inputs["weight"])
    dweight2_VC = torch.zeros_like(dweight_VC)
    count = len(weight_VC)
    for begin in range(0, len(x_NC), ROWS):
        rows = slice(begin, begin + ROWS)
        part = _slice(x_NC[rows], weight_VC, inputs["targets"][rows])
        dloss_R = output_gradients["dloss"][rows] * (inputs["targets"][rows] >= 0)
        g_RV = (part.p_RV - part.hot_RV) * part.slope_RV * dloss_R[:, None]
        dx_NC[rows] = (g_RV.square() @ weight_VC.square()).sqrt_() + (g_RV @ weight_VC).abs_()
        dweight_VC[:count] += g_RV.T @ x_NC[rows]
        dweight2_VC[:count] += g_RV.square().T @ x_NC[rows].square()
    return found | {"dx": dx_NC, "dweight": dweight2_VC.sqrt_() + dweight_VC.abs_()}


def linear_softcap_cross_entropy_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """The sums over channels, vocabulary and rows, and a chain of some sixteen operations a logit."""
    V = min(sizes["V"], parameters["vocab_size"])
    logit = sizes["C"] + V + 16
    return {"loss": logit, "dx": logit + V, "dweight": logit + sizes["N"]}
