"""Float64 oracle of windowed causal attention, its condition magnitudes and its accumulation lengths.

Axes: B batch, T time, H query heads, K key heads, D head size, G = H / K query heads a key head.

With p the probabilities, s the scores and a = |q||k| / sqrt(D) their magnitude, a score carries the relative-to-a
error that any order of summation leaves, and an error ds_j moves out by p_j ds_j (v_j - out). Magnitudes follow that
chain rule with every term positive; they are tight in that nothing but signs is given away.

Stored intermediates (bfloat16: P, dS, and `out` read again by the backward) are each rounded once, with errors that do
not depend on each other and add in squares, or, where values repeat, all alike, which scales the result itself.
"""

from math import sqrt

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# In units of 2^-24: a probability below the least normal float32 may be anything down to 0.
UNDERFLOW = 2.0**-102

# Rows along this axis do not depend on each other: the judge may compare any of them.
attention_ROW_AXIS = "B"  # noqa: N816
# With equal tokens every term of a sum is the same number.
attention_REPEATING = {"constant": ("out", "dq", "dk", "dv")}  # noqa: N816
attention_LEANING_ROWS = ("out", "dq", "dk", "dv")  # noqa: N816


def attention(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    """Head by head; checkpointed, so that autograd holds the T x T matrices of one head only."""
    q_BTHD, k_BTKD, v_BTKD = inputs["q"], inputs["k"], inputs["v"]
    B, _, H, _ = q_BTHD.shape
    group = H // k_BTKD.shape[2]
    batches = []
    for b in range(B):
        heads = []
        for h in range(H):
            one_head = (q_BTHD[b, :, h], k_BTKD[b, :, h // group], v_BTKD[b, :, h // group])
            heads.append(checkpoint(_attend, *one_head, parameters["window"], use_reentrant=False))
        batches.append(torch.stack(heads, dim=1))
    return {"out": torch.stack(batches)}


def _attend(q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, window: int) -> Tensor:
    scores_TT = q_TD @ k_TD.T / sqrt(q_TD.shape[-1])
    return scores_TT.masked_fill(~_visible(len(q_TD), window), float("-inf")).softmax(dim=-1) @ v_TD


def _visible(T: int, window: int) -> Tensor:
    age_TT = torch.arange(T)[:, None] - torch.arange(T)[None, :]
    return (age_TT >= 0) & (age_TT <= window)


def attention_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    q_BTHD, k_BTKD, v_BTKD = inputs["q"], inputs["k"], inputs["v"]
    B, T, H, _ = q_BTHD.shape
    group = H // k_BTKD.shape[2]
    found = {"out": torch.zeros_like(q_BTHD)}
    if output_gradients is not None:
        found |= {f"d{name}": torch.zeros_like(inputs[name]) for name in ("q", "k", "v")}
    visible_TT = _visible(T, parameters["window"])
    for b in range(B):
        for h in range(H):
            key_head = h // group
            qkv = (q_BTHD[b, :, h], k_BTKD[b, :, key_head], v_BTKD[b, :, key_head])
            out_TD = outputs["out"][b, :, h]
            dout_TD = None if output_gradients is None else output_gradients["dout"][b, :, h]
            out, gradients = _magnitudes_of_head(*qkv, out_TD, dout_TD, visible_TT)
            found["out"][b, :, h] = out
            for name, value in gradients.items():
                found[name][b, :, h if name == "dq" else key_head] += value
    return found


def _magnitudes_of_head(
    q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, out_TD: Tensor, dout_TD: Tensor | None, visible_TT: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    scale = 1 / sqrt(q_TD.shape[-1])
    scores_TT = (q_TD @ k_TD.T * scale).masked_fill_(~visible_TT, float("-inf"))
    lse_T1 = scores_TT.logsumexp(dim=-1, keepdim=True)
    p_TT = scores_TT.sub_(lse_T1).exp_() + UNDERFLOW * visible_TT
    a_TT = q_TD.abs() @ k_TD.abs().T * scale
    # sum_j p_ij a_ij |v_j - out_i|, bounded by |v_j| + |out_i| to stay a matrix product
    pa_TT = p_TT * a_TT
    mean_a_T1 = pa_TT.sum(dim=-1, keepdim=True)
    c_out_TD = p_TT @ v_TD.abs() + pa_TT @ v_TD.abs() + mean_a_T1 * out_TD.abs()
    if dout_TD is None:
        return c_out_TD, {}
    error_TT = a_TT + (1 + mean_a_T1 + lse_T1.abs())  # of p, relative
    dp_TT = dout_TD @ v_TD.T
    delta_T1 = (dout_TD * out_TD).sum(dim=-1, keepdim=True)
    c_dp_TT = dout_TD.abs() @ v_TD.abs().T
    c_delta_T1 = (dout_TD.abs() * c_out_TD).sum(dim=-1, keepdim=True)
    c_ds_TT = p_TT * (c_dp_TT + c_delta_T1 + error_TT * (dp_TT - delta_T1).abs())
    return c_out_TD, {
        "dq": scale * c_ds_TT @ k_TD.abs(),
        "dk": scale * c_ds_TT.T @ q_TD.abs(),
        "dv": (p_TT * error_TT).T @ dout_TD.abs(),
    }


def attention_stored_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Root of the summed squares of what each rounding moves, plus the magnitude of the result itself."""
    names = ("out",) if output_gradients is None else ("out", "dq", "dk", "dv")
    values = {n: torch.zeros_like(inputs[n[1:]] if n != "out" else inputs["q"]) for n in names}
    squares = {n: torch.zeros_like(value) for n, value in values.items()}
    B, T, H, _ = inputs["q"].shape
    visible_TT = _visible(T, parameters["window"])
    for b in range(B):
        for h in range(H):
            key_head = h // (H // inputs["k"].shape[2])
            qkv = (inputs["q"][b, :, h], inputs["k"][b, :, key_head], inputs["v"][b, :, key_head])
            dout_TD = None if output_gradients is None else output_gradients["dout"][b, :, h]
            for name, (value, square) in _stored_of_head(*qkv, outputs["out"][b, :, h], dout_TD, visible_TT).items():
                head = key_head if name in ("dk", "dv") else h
                values[name][b, :, head] += value
                squares[name][b, :, head] += square
    return {name: squares[name].sqrt_().add_(values[name].abs_()) for name in names}


def _stored_of_head(
    q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, out_TD: Tensor, dout_TD: Tensor | None, visible_TT: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """By result: its value, and the sum of squares of what single roundings of P, dS and out move."""
    scale = 1 / sqrt(q_TD.shape[-1])
    p_TT = (q_TD @ k_TD.T * scale).masked_fill_(~visible_TT, float("-inf")).softmax(dim=-1)
    p2_TT = p_TT.square()
    found = {"out": (out_TD, p2_TT @ v_TD.square())}
    if dout_TD is None:
        return found
    dp_TT = dout_TD @ v_TD.T
    delta_T1 = (dout_TD * out_TD).sum(dim=-1, keepdim=True)
    ds_TT = p_TT * (dp_TT - delta_T1) * scale
    ds2_TT = 2 * ds_TT.square()  # of dS itself, and of the P that it may be made of
    # delta = <dout, out> is as wrong as out is: by its own roundings, and by those of the P that it was made of.
    delta2_T1 = (dout_TD * out_TD).square().sum(dim=-1, keepdim=True) + delta_T1.square()
    delta2_T1 = scale**2 * (delta2_T1 + (p2_TT * dp_TT.square()).sum(dim=-1, keepdim=True))
    return found | {
        "dq": (ds_TT @ k_TD, ds2_TT @ k_TD.square() + delta2_T1 * (p_TT @ k_TD).square()),
        "dk": (ds_TT.T @ q_TD, (ds2_TT + p2_TT * delta2_T1).T @ q_TD.square()),
        "dv": (p_TT.T @ dout_TD, p2_TT.T @ dout_TD.square()),
    }


def attention_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    keys = min(parameters["window"] + 1, sizes["T"])
    group = sizes["H"] // sizes["K"]
    return {
        "out": sizes["D"] + keys,
        "dq": 2 * sizes["D"] + 2 * keys,
        "dk": 2 * sizes["D"] + (group + 1) * keys,
        "dv": sizes["D"] + (group + 1) * keys,
    }
