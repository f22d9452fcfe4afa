"""Float64 oracle, its magnitudes and accumulation lengths. Axes: N positions, K heads, D channels, G gating, V rows."""

import torch
from torch import Tensor

PEAK = 3.0
FLUSHED = 2.0**-102  # in units of a float32 rounding: exp(-a) may overflow, and a sigmoid of 2^-126 be zero

# Products of the gate, and all gates, are one number.
value_mix_REPEATING = {"constant": ("mixed", "dgate_input", "dgate_weight")}  # noqa: N816


def value_mix(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    gate_NK1 = PEAK * torch.sigmoid(inputs["gate_input"] @ inputs["gate_weight"].T)[..., None]
    return {"mixed": inputs["v"] + gate_NK1 * _rows(inputs)}


def _rows(inputs: dict[str, Tensor]) -> Tensor:
    return inputs["table"][inputs["tokens"]].view_as(inputs["v"])


def value_mix_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Errors of the gate's score a go to s = sigmoid(a), and from there to everything else.

    s has an absolute error of s (1 - s) c_a and a few roundings of its own size; so has 1 - s, which saturates to 0.
    A row of the table's gradient is a sum with a length of its own, so its growth stands here and not in the terms.
    """
    x_NG, weight_KG, tokens_N = inputs["gate_input"], inputs["gate_weight"], inputs["tokens"]
    rows_NKD = _rows(inputs)
    s_NK = torch.sigmoid(x_NG @ weight_KG.T)
    p_NK = s_NK * (1 - s_NK)
    c_s_NK = p_NK * (x_NG.abs() @ weight_KG.abs().T) + 2 * s_NK + FLUSHED
    c_mixed_NKD = inputs["v"].abs() + PEAK * c_s_NK[..., None] * rows_NKD.abs()
    if output_gradients is None:
        return {"mixed": c_mixed_NKD}
    dmixed_NKD = output_gradients["dmixed"]
    c_dgate_NK = (dmixed_NKD * rows_NKD).abs().sum(dim=-1)
    dgate_NK = (dmixed_NKD * rows_NKD).sum(dim=-1).abs()
    c_da_NK = PEAK * (c_dgate_NK * p_NK + dgate_NK * (c_s_NK + p_NK))
    c_rows_NKD = PEAK * c_s_NK[..., None] * dmixed_NKD.abs()
    c_table_VC = torch.zeros_like(inputs["table"]).index_add_(0, tokens_N, c_rows_NKD.flatten(1))
    count_V = torch.bincount(tokens_N, minlength=len(c_table_VC))
    growth_V = 1 + 0.75 * (count_V + weight_KG.shape[1] + 16.0).sqrt()
    return {
        "mixed": c_mixed_NKD,
        "dgate_input": c_da_NK @ weight_KG.abs(),
        "dgate_weight": c_da_NK.T @ x_NG.abs(),
        "dtable": c_table_VC * growth_V[:, None],
    }


def value_mix_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """Sums over the gate's channels, a head's channels, then heads or positions; the table's are in its magnitudes."""
    way = sizes["G"] + sizes["D"] + 16
    return {"mixed": sizes["G"] + 16, "dgate_input": way + sizes["K"], "dgate_weight": way + sizes["N"], "dtable": 0}
