"""Float64 oracle of both entries, condition magnitudes and accumulation lengths. Axes: N rows, C channels."""

from torch import Tensor

EPSILON = 2.0**-23

# Rows along this axis do not depend on each other: the judge may compare any of them.
rms_norm_ROW_AXIS = "N"  # noqa: N816


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


def rms_norm_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    return {"y": sizes["C"] + 16, "dx": 2 * sizes["C"] + 16}


def mix_norm_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """The two scalars are sums over rows of sums over channels, each kept in few terms."""
    C, N = sizes["C"], sizes["N"]
    rows = {"mixed": 2, "normed": C + 16, "dx": 2 * C + 16, "dx0": 2 * C + 16}
    return rows | {"dresid": C + N + 16, "dskip": C + N + 16}
