"""Float64 oracle, its magnitudes and accumulation lengths. Axes: N rows, C channels."""

from torch import Tensor

EPSILON = 2.0**-23

# Squares and products take one value, or behind a difference of -1, 0 and 1 nine.
backout_norm_REPEATING = dict.fromkeys(("constant", "ties"), ("normed", "dx", "dx_back", "dbackout"))  # noqa: N816


def backout_norm(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    rest_NC = inputs["x"] - inputs["backout"] * inputs["x_back"]
    return {"normed": rest_NC * _inverse_rms(rest_NC)}


def _inverse_rms(rest_NC: Tensor) -> Tensor:
    return (rest_NC.square().mean(dim=-1, keepdim=True) + EPSILON).rsqrt()


def backout_norm_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """The difference may cancel, so it carries errors of c = |x| + |backout x_back|, and with it all that follows.

    The row's inverse length r has a relative error of spread = 1 + r^2 mean(|rest| c), and
    dx = r (dy - y mean(dy y)) the errors of r, of y twice, and of the mean.
    """
    x_NC, back_NC, backout = inputs["x"], inputs["x_back"], inputs["backout"]
    rest_NC = x_NC - backout * back_NC
    c_rest_NC = x_NC.abs() + (backout * back_NC).abs()
    r_N1 = _inverse_rms(rest_NC)
    spread_N1 = 1 + r_N1**2 * (rest_NC.abs() * c_rest_NC).mean(dim=-1, keepdim=True)
    y_NC = (r_N1 * rest_NC).abs()
    c_y_NC = r_N1 * c_rest_NC + y_NC * spread_N1
    found = {"normed": c_y_NC}
    if output_gradients is None:
        return found
    dy_NC = output_gradients["dnormed"].abs()
    inner_N1 = (dy_NC * y_NC).mean(dim=-1, keepdim=True)
    c_inner_N1 = (dy_NC * c_y_NC).mean(dim=-1, keepdim=True)
    direct_NC = spread_N1 * (dy_NC + y_NC * inner_N1)
    c_dx_NC = r_N1 * (direct_NC + c_y_NC * inner_N1 + y_NC * c_inner_N1)
    dbackout = (c_dx_NC * back_NC.abs()).sum()
    return found | {"dx": c_dx_NC, "dx_back": backout.abs() * c_dx_NC, "dbackout": dbackout}


def backout_norm_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """The scalar is a sum over rows of sums over channels, each kept in few terms."""
    C, N = sizes["C"], sizes["N"]
    return {"normed": C + 16, "dx": 2 * C + 16, "dx_back": 2 * C + 16, "dbackout": 2 * C + N + 16}
