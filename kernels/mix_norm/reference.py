"""Float64 oracle of both entries, their magnitudes and accumulation lengths. Axes: N rows, C channels."""

import torch
from torch import Tensor

EPSILON = 2.0**-23

# Rows along this axis do not depend on each other: the judge may compare any of them.
rms_norm_ROW_AXIS = "N"  # noqa: N816
# Squares and products take one value, or after the mix of -1, 0 and 1 nine.
rms_norm_REPEATING = {"constant": ("y", "dx")}  # noqa: N816
mix_norm_REPEATING = dict.fromkeys(  # noqa: N816
    ("constant", "ties"), ("mixed", "normed", "dx", "dx0", "dresid", "dskip")
)


def rms_norm(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    return {"y": _normalise(inputs["x"])}


def mix_norm(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    mixed_NC = inputs["resid"] * inputs["x"] + inputs["skip"] * inputs["x0"]
    return {"mixed": mixed_NC, "normed": _normalise(mixed_NC)}


def _normalise(x_NC: Tensor) -> Tensor:
    return x_NC * _inverse_rms(x_NC)


def _inverse_rms(x_NC: Tensor) -> Tensor:
    return (x_NC.square().mean(dim=-1, keepdim=True) + EPSILON).rsqrt()


def rms_norm_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    x_NC = inputs["x"]
    c_y_NC, c_dx_NC = _norm_magnitudes(x_NC, x_NC.abs(), None if output_gradients is None else output_gradients["dy"])
    return {"y": c_y_NC} if c_dx_NC is None else {"y": c_y_NC, "dx": c_dx_NC}


def mix_norm_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    x_NC, x0_NC, resid, skip = inputs["x"], inputs["x0"], inputs["resid"], inputs["skip"]
    c_mixed_NC = (resid * x_NC).abs() + (skip * x0_NC).abs()
    dnormed_NC = None if output_gradients is None else output_gradients["dnormed"]
    c_normed_NC, c_dnorm_NC = _norm_magnitudes(outputs["mixed"], c_mixed_NC, dnormed_NC)
    found = {"mixed": c_mixed_NC, "normed": c_normed_NC}
    if c_dnorm_NC is None:
        return found
    c_dmixed_NC = output_gradients["dmixed"].abs() + c_dnorm_NC
    return found | {
        "dx": resid.abs() * c_dmixed_NC,
        "dx0": skip.abs() * c_dmixed_NC,
        "dresid": (c_dmixed_NC * x_NC.abs()).sum(),
        "dskip": (c_dmixed_NC * x0_NC.abs()).sum(),
    }


def _norm_magnitudes(x_NC: Tensor, c_x_NC: Tensor, dy_NC: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Of y = r x and of dx = r (dy - y mean(dy y)), when x itself carries errors of magnitude c_x >= |x|.

    r then has a relative error of 1 + r^2 mean(|x| c_x): the mix may cancel, and its norm with it.
    """
    r_N1 = _inverse_rms(x_NC)
    spread_N1 = 1 + r_N1**2 * (x_NC.abs() * c_x_NC).mean(dim=-1, keepdim=True)
    y_NC = (r_N1 * x_NC).abs()
    c_y_NC = r_N1 * c_x_NC + y_NC * spread_N1
    if dy_NC is None:
        return c_y_NC, None
    inner_N1 = (dy_NC.abs() * y_NC).mean(dim=-1, keepdim=True)
    c_inner_N1 = (dy_NC.abs() * c_y_NC).mean(dim=-1, keepdim=True)
    direct_NC = spread_N1 * (dy_NC.abs() + y_NC * inner_N1)
    return c_y_NC, r_N1 * (direct_NC + c_y_NC * inner_N1 + y_NC * c_inner_N1)


def rms_norm_stored_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """The forward stores nothing on its way; the backward may read the rounded y."""
    y_NC = outputs["y"]
    found = {"y": torch.zeros_like(y_NC)}
    if output_gradients is None:
        return found
    each_NC, inner_N1, _ = _stored_in_norm(inputs["x"], output_gradients["dy"])
    return found | {"dx": each_NC.abs() + (_inverse_rms(inputs["x"]) * y_NC).abs() * inner_N1}


def mix_norm_stored_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """The norm and the backward may read the rounded mix, the backward also the rounded norm.

    A rounded mix moves the row's inverse length by its roundings' mean, weighted with y^2.
    """
    mixed_NC, normed_NC = outputs["mixed"], outputs["normed"]
    length_N1 = normed_NC.square().square().sum(dim=-1, keepdim=True).sqrt() / normed_NC.shape[1]
    found = {"mixed": torch.zeros_like(mixed_NC), "normed": normed_NC.abs() * (1 + length_N1)}
    if output_gradients is None:
        return found
    each_NC, inner_N1, direct_NC = _stored_in_norm(mixed_NC, output_gradients["dnormed"])
    r_N1 = _inverse_rms(mixed_NC)
    rows = ((r_N1 * normed_NC, inner_N1), (r_N1 * direct_NC, length_N1))  # what a whole row shares
    d_mixed_NC = 2 * (each_NC.abs() + sum(value.abs() * error for value, error in rows))
    found |= {"dx": inputs["resid"].abs() * d_mixed_NC, "dx0": inputs["skip"].abs() * d_mixed_NC}
    for name, x_NC in (("dresid", inputs["x"]), ("dskip", inputs["x0"])):
        squares = (each_NC * x_NC).square().sum()
        squares = squares + sum(((value * x_NC).sum(-1) * error[:, 0]).square().sum() for value, error in rows)
        squares = squares + (each_NC * x_NC).sum().square()  # few distinct values: roundings all alike
        found[name] = 2 * squares.sqrt()
    return found


def _stored_in_norm(x_NC: Tensor, dy_NC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of dx = r (dy - y mean(dy y)) with y rounded: what each moves, what their mean moves in every y, dy - y mean."""
    r_N1 = _inverse_rms(x_NC)
    y_NC = r_N1 * x_NC
    products_NC = dy_NC * y_NC
    mean_N1 = products_NC.mean(dim=-1, keepdim=True)
    inner_N1 = products_NC.square().sum(dim=-1, keepdim=True).sqrt() / y_NC.shape[1]
    return r_N1 * y_NC * mean_N1, inner_N1, dy_NC - y_NC * mean_N1


def rms_norm_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    return {"y": sizes["C"] + 16, "dx": 2 * sizes["C"] + 16}


def mix_norm_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """The two scalars are sums over rows of sums over channels, each kept in few terms."""
    C, N = sizes["C"], sizes["N"]
    rows = {"mixed": 2, "normed": C + 16, "dx": 2 * C + 16, "dx0": 2 * C + 16}
    return rows | {"dresid": C + N + 16, "dskip": C + N + 16}
