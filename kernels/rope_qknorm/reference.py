"""Float64 oracle, its magnitudes and accumulation lengths. Axes: B batch, T time, N heads of q or of k, D head size.

With R the turn of a position, u = R x, n = r u, out = 1.2 n; backwards du = r (g - n mean(g n)) for g = 1.2 dout and
dx = R^T du. R is whatever the tables say, so every formula holds for tables that are no rotation.
"""

import torch
from torch import Tensor

EPSILON, SCALE = 2.0**-23, 1.2

# Rows along this axis do not depend on each other: the judge may compare any of them.
rope_qknorm_ROW_AXIS = "T"  # noqa: N816
# Every head is one number, turned by nothing.
rope_qknorm_REPEATING = {"constant": ("q_out", "k_out", "dq", "dk")}  # noqa: N816

STREAMS = (("q", "q_out"), ("k", "k_out"))
Tensors = dict[str, Tensor]


def rope_qknorm(inputs: Tensors, parameters: dict) -> Tensors:
    return {out: _turn_and_norm(inputs[name], inputs["cos"], inputs["sin"]) for name, out in STREAMS}


def _turn_and_norm(x_BTND: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    u_BTND = _turn(x_BTND, cos, sin)
    return SCALE * _inverse_rms(u_BTND) * u_BTND


def _turn(x_BTND: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x_BTND.chunk(2, dim=-1)
    return torch.cat([cos * left + sin * right, cos * right - sin * left], dim=-1)


def _inverse_rms(u_BTND: Tensor) -> Tensor:
    return (u_BTND.square().mean(dim=-1, keepdim=True) + EPSILON).rsqrt()


def rope_qknorm_magnitudes(
    inputs: Tensors, parameters: dict, outputs: Tensors, output_gradients: Tensors | None
) -> Tensors:
    """Turning may cancel, and the norm then divides what is left by what is left: see `_norm_magnitudes`."""
    cos, sin, found = inputs["cos"], inputs["sin"], {}
    for name, out in STREAMS:
        u_BTND = _turn(inputs[name], cos, sin)
        c_u_BTND = _turn_terms(inputs[name].abs(), cos.abs(), sin.abs())
        gradient = None if output_gradients is None else SCALE * output_gradients[f"d{out}"]
        c_n_BTND, c_du_BTND = _norm_magnitudes(u_BTND, c_u_BTND, gradient)
        found[out] = SCALE * c_n_BTND
        if c_du_BTND is not None:
            found[f"d{name}"] = _turn_terms(c_du_BTND, cos.abs(), sin.abs())
    return found


def _turn_terms(c_BTND: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Both terms of a turn (or of its transpose) added: magnitudes, or squares of them."""
    left, right = c_BTND.chunk(2, dim=-1)
    return torch.cat([cos * left + sin * right, cos * right + sin * left], dim=-1)


def _norm_magnitudes(u: Tensor, c_u: Tensor, g: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Of n = r u and of du = r (g - n mean(g n)), where u itself carries errors of magnitude c_u >= |u|.

    r then has a relative error of 1 + r^2 mean(|u| c_u).
    """
    r = _inverse_rms(u)
    spread = 1 + r**2 * (u.abs() * c_u).mean(dim=-1, keepdim=True)
    n = (r * u).abs()
    c_n = r * c_u + n * spread
    if g is None:
        return c_n, None
    inner = (g.abs() * n).mean(dim=-1, keepdim=True)
    c_inner = (g.abs() * c_n).mean(dim=-1, keepdim=True)
    direct = spread * (g.abs() + n * inner)
    return c_n, r * (direct + c_n * inner + n * c_inner)


def rope_qknorm_stored_magnitudes(
    inputs: Tensors, parameters: dict, outputs: Tensors, output_gradients: Tensors | None
) -> Tensors:
    """The forward stores nothing on its way. The backward may read n from the rounded output.

    Of du = r (g - n m) with m = mean(g n): a rounding of n_i moves du_i by r n_i m, and its whole head through m.
    """
    cos, sin = inputs["cos"], inputs["sin"]
    found = {out: torch.zeros_like(outputs[out]) for _, out in STREAMS}
    if output_gradients is None:
        return found
    for name, out in STREAMS:
        u = _turn(inputs[name], cos, sin)
        r = _inverse_rms(u)
        n, g = r * u, SCALE * output_gradients[f"d{out}"]
        products = g * n
        each = r * n * products.mean(dim=-1, keepdim=True)
        shift = products.square().sum(dim=-1, keepdim=True).sqrt() / n.shape[-1]
        alone = _turn_terms(each.square(), cos.square(), sin.square()).sqrt()
        alike = _turn(each, cos, -sin).abs()  # few distinct values: roundings all one way
        found[f"d{name}"] = torch.maximum(alone, alike) + _turn(r * n, cos, -sin).abs() * shift
    return found


def rope_qknorm_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    forward, backward = sizes["D"] + 16, 2 * sizes["D"] + 16
    return {"q_out": forward, "k_out": forward, "dq": backward, "dk": backward}
