"""Float64 oracle, its magnitudes and accumulation lengths. Axes: N rows, C channels, O outputs."""

from torch import Tensor

linear_REPEATING = dict.fromkeys(("constant", "ties", "integers"), ("y", "dx", "dweight"))  # noqa: N816

Tensors = dict[str, Tensor]


def linear(inputs: Tensors, parameters: dict) -> Tensors:
    return {"y": inputs["x"] @ inputs["weight"].T}


def linear_magnitudes(inputs: Tensors, parameters: dict, outputs: Tensors, output_gradients: Tensors | None) -> Tensors:
    """Each result is one sum: its terms without their signs."""
    x_NC, weight_OC = inputs["x"].abs(), inputs["weight"].abs()
    found = {"y": x_NC @ weight_OC.T}
    if output_gradients is not None:
        dy_NO = output_gradients["dy"].abs()
        found |= {"dx": dy_NO @ weight_OC, "dweight": dy_NO.T @ x_NC}
    return found


def linear_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    return {"y": sizes["C"], "dx": sizes["O"], "dweight": sizes["N"]}
