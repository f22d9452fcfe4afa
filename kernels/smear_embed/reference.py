"""Float64 oracle, its magnitudes and accumulation lengths. Axes: B batch, T positions, C channels, G of them gate."""

import torch
from torch import Tensor

EPSILON = 2.0**-23
FLUSHED = 2.0**-102  # in units of a float32 rounding: exp(-a) may overflow, and a sigmoid of 2^-126 be zero

# All rows and all gates are one, or nearly.
smear_embed_REPEATING = {"constant": ("out", "drows", "dgate_weight", "dsmear")}  # noqa: N816


def smear_embed(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    x_BTC = inputs["rows"] * _inverse_rms(inputs["rows"])
    gate_BT1 = inputs["smear"] * torch.sigmoid(_scores(x_BTC, inputs["gate_weight"][0]))
    return {"out": x_BTC + gate_BT1 * _before(x_BTC)}


def _inverse_rms(rows_BTC: Tensor) -> Tensor:
    return (rows_BTC.square().mean(dim=-1, keepdim=True) + EPSILON).rsqrt()


def _scores(x_BTC: Tensor, weight_G: Tensor) -> Tensor:
    return (x_BTC[..., : len(weight_G)] * weight_G).sum(dim=-1, keepdim=True)


def _before(x_BTC: Tensor) -> Tensor:
    """Row t - 1 at place t, zeros at the first."""
    return torch.cat([torch.zeros_like(x_BTC[:, :1]), x_BTC[:, :-1]], dim=1)


def _after(x_BTC: Tensor) -> Tensor:
    """Row t + 1 at place t, zeros at the last."""
    return torch.cat([x_BTC[:, 1:], torch.zeros_like(x_BTC[:, :1])], dim=1)


def smear_embed_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Errors of the normed rows x go to the scores a, from there to s = sigmoid(a), and with both to everything else.

    s has an absolute error of s (1 - s) c_a and a few roundings of its own size; so has 1 - s, which saturates to 0.
    """
    weight_G, smear = inputs["gate_weight"][0].abs(), inputs["smear"].abs()
    r_BT1 = _inverse_rms(inputs["rows"])
    x_BTC = inputs["rows"] * r_BT1
    c_x_BTC = 3 * x_BTC.abs()  # its own rounding, and those of r: of the square root and of the mean
    s_BT1 = torch.sigmoid(_scores(x_BTC, inputs["gate_weight"][0]))
    p_BT1 = s_BT1 * (1 - s_BT1)
    c_s_BT1 = p_BT1 * _scores(c_x_BTC, weight_G) + 2 * s_BT1 + FLUSHED
    x_before_BTC, c_before_BTC = _before(x_BTC).abs(), _before(c_x_BTC)
    c_out_BTC = c_x_BTC + smear * (s_BT1 * c_before_BTC + c_s_BT1 * x_before_BTC)
    if output_gradients is None:
        return {"out": c_out_BTC}
    dout_BTC = output_gradients["dout"]
    dgate_BT1 = (dout_BTC * _before(x_BTC)).sum(dim=-1, keepdim=True).abs()
    c_dgate_BT1 = (dout_BTC.abs() * c_before_BTC).sum(dim=-1, keepdim=True)
    da_BT1 = smear * dgate_BT1 * p_BT1
    c_da_BT1 = smear * (c_dgate_BT1 * p_BT1 + dgate_BT1 * (c_s_BT1 + p_BT1))
    c_dx_BTC = dout_BTC.abs() + smear * _after((s_BT1 + c_s_BT1) * dout_BTC.abs())
    padding = x_BTC.shape[-1] - len(weight_G)
    c_dx_BTC = c_dx_BTC + torch.nn.functional.pad(c_da_BT1 * weight_G, (0, padding))
    gate_rows_BTG, c_gate_rows_BTG = x_BTC[..., : len(weight_G)].abs(), c_x_BTC[..., : len(weight_G)]
    return {
        "out": c_out_BTC,
        "drows": _norm_gradient_magnitudes(r_BT1, x_BTC.abs(), c_x_BTC, c_dx_BTC),
        "dgate_weight": (c_da_BT1 * gate_rows_BTG + da_BT1 * c_gate_rows_BTG).sum(dim=(0, 1))[None],
        "dsmear": (c_dgate_BT1 * s_BT1 + dgate_BT1 * c_s_BT1).sum(),
    }


def _norm_gradient_magnitudes(r_BT1: Tensor, y_BTC: Tensor, c_y_BTC: Tensor, c_dy_BTC: Tensor) -> Tensor:
    """Of r (dy - y mean(dy y)) with |y|, where dy and y carry errors c_dy >= |dy| and c_y >= |y|."""
    inner_BT1 = (c_dy_BTC * y_BTC).mean(dim=-1, keepdim=True)
    c_inner_BT1 = inner_BT1 + (c_dy_BTC * c_y_BTC).mean(dim=-1, keepdim=True)
    return r_BT1 * (3 * c_dy_BTC + 2 * y_BTC * inner_BT1 + c_y_BTC * inner_BT1 + y_BTC * c_inner_BT1)


def smear_embed_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """Sums over channels for the norm, the gate's score and its gradient, then over rows, kept in few terms."""
    C, G, rows = sizes["C"], sizes["G"], sizes["B"] * sizes["T"]
    way = 2 * C + G + 16
    return {"out": C + G + 16, "drows": way + C, "dgate_weight": way + rows, "dsmear": way + rows}
