"""Float64 oracle of the AdamW step, its condition magnitudes and its operation counts."""

import torch
from torch import Tensor

OPERATIONS = 16  # on the longest path of an element

# Rows along this axis do not depend on each other: the judge may compare any of them.
adamw_step_ROW_AXIS = "E"  # noqa: N816


def adamw_step(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    p, g, m, v = (inputs[name] for name in ("p", "g", "m", "v"))
    lr, beta1, beta2, eps, decay = _rounded(parameters)
    m = m + (1 - beta1) * (g - m)
    v = v + (1 - beta2) * (g**2 - v)
    corrected_m = m / (1 - beta1 ** parameters["step"])
    corrected_v = v / (1 - beta2 ** parameters["step"])
    p = p * (1 - lr * decay) - lr * corrected_m / (corrected_v.sqrt() + eps)
    return {"p": p, "m": m, "v": v}


def _rounded(parameters: dict) -> list[float]:
    names = ("lr", "beta1", "beta2", "eps", "weight_decay")
    return torch.tensor([parameters[name] for name in names], dtype=torch.float32).tolist()


def adamw_step_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: None
) -> dict[str, Tensor]:
    """m' may cancel, so its magnitude adds what it is summed of; the step inherits it, over an exact denominator."""
    p, g, m, v = (inputs[name].abs() for name in ("p", "g", "m", "v"))
    lr, beta1, beta2, eps, decay = _rounded(parameters)
    c_m = m + (1 - beta1) * (g + m)
    c_v = v + (1 - beta2) * (g**2 + v)
    denominator = (outputs["v"] / (1 - beta2 ** parameters["step"])).sqrt() + eps
    c_step = lr / (1 - beta1 ** parameters["step"]) * c_m / denominator
    return {"p": p * (1 + lr * decay) + 2 * c_step, "m": c_m, "v": c_v}


def adamw_step_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    return {"p": OPERATIONS, "m": OPERATIONS, "v": OPERATIONS}
