"""What upstream itself computes for each entry, taken from one of its modules before anything is replaced.

This is what runs where a kernel does not: outside its domain, without one, and under `identity`. It has the arguments
of the entry and, bit for bit, upstream's results. A symbol that drifted away is None: no patch that needs it goes in.

Axes: B batch, T sequence, C width, H query heads, K key heads, D head dimension, V rows of a table, N = B*T.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SOFTCAP = 15.0
QK_SCALE = 1.2
GATE_PEAK = 3
STEPS = 5  # of the polar iteration
# Entries that span several others: a patch has no use for them unless a kernel exists.
OPTIONAL = ("relu2_mlp", "linear_softcap_cross_entropy", "token_order")

Stock = Mapping[str, Callable[..., Any]]


def attention_stock(module: ModuleType) -> Stock:
    flash_attn_func: Any = getattr(getattr(module, "flash_attn", None), "flash_attn_func", None)

    def attention(q_BTHD: Tensor, k_BTKD: Tensor, v_BTKD: Tensor, window: int) -> Tensor:
        out: Tensor = flash_attn_func(q_BTHD, k_BTKD, v_BTKD, causal=True, window_size=(window, 0))
        return out

    return {"attention": attention}


def optimizer_stock(module: ModuleType) -> Stock:
    step_adamw: Any = getattr(module, "adamw_step_fused", None)
    step_muon: Any = getattr(module, "muon_step_fused", None)

    def adamw_step(
        p: Tensor, g: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, *,
        step: int, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        numbers = (float(step), lr, beta1, beta2, eps, weight_decay)
        step_adamw(p, g, exp_avg, exp_avg_sq, *map(torch.tensor, numbers))

    def muon_step(
        params_KMN: Tensor, grads_KMN: Tensor, momentum_buffer: Tensor, second_moment: Tensor, *,
        lr: float, momentum: float, beta2: float, weight_decay: float, matmul_dtype: torch.dtype,
    ) -> None:  # fmt: skip
        numbers = map(torch.tensor, (momentum, lr, weight_decay, beta2))
        axis = -1 if params_KMN.size(-2) >= params_KMN.size(-1) else -2
        step_muon(grads_KMN, params_KMN, momentum_buffer, second_moment, *numbers, STEPS, axis)

    return {"adamw_step": adamw_step, "muon_step": muon_step}


def model_stock(module: ModuleType) -> Stock:
    own = {"rms_norm": getattr(module, "norm", None), "linear": _linear}
    return {**own, **norm_stock(module), **mlp_stock(), **embedding_stock(), **loss_stock()}  # type: ignore[dict-item]


def norm_stock(module: ModuleType) -> Stock:
    """What holds a norm: the module's at the time of the call, which may be a kernel where this entry has none."""

    def norm(x: Tensor) -> Tensor:
        normed: Tensor = module.norm(x)
        return normed

    def mix_norm(x: Tensor, x0: Tensor, resid_lambda: Tensor, x0_lambda: Tensor) -> tuple[Tensor, Tensor]:
        mixed = resid_lambda * x + x0_lambda * x0
        return mixed, norm(mixed)

    def rope_qknorm(q_BTHD: Tensor, k_BTKD: Tensor, cos_T1d: Tensor, sin_T1d: Tensor) -> tuple[Tensor, Tensor]:
        q_BTHD = module.apply_rotary_emb(q_BTHD, cos_T1d, sin_T1d)
        k_BTKD = module.apply_rotary_emb(k_BTKD, cos_T1d, sin_T1d)
        q_BTHD, k_BTKD = norm(q_BTHD), norm(k_BTKD)
        return q_BTHD * QK_SCALE, k_BTKD * QK_SCALE

    def smear_embed(rows_BTC: Tensor, gate_weight_1G: Tensor, smear_lambda: Tensor) -> Tensor:
        x = norm(rows_BTC)
        gate = _linear(x[:, 1:, : gate_weight_1G.size(1)], gate_weight_1G)
        gate = smear_lambda.to(x.dtype) * torch.sigmoid(gate)
        return torch.cat([x[:, :1], x[:, 1:] + gate * x[:, :-1]], dim=1)

    def backout_norm(x: Tensor, x_back: Tensor, backout_lambda: Tensor) -> Tensor:
        return norm(x - backout_lambda.to(x.dtype) * x_back)

    return {"mix_norm": mix_norm, "rope_qknorm": rope_qknorm, "smear_embed": smear_embed, "backout_norm": backout_norm}


def mlp_stock() -> Stock:
    def relu2(h: Tensor) -> Tensor:
        return F.relu(h).square()

    def relu2_mlp(x_BTC: Tensor, fc_weight_FC: Tensor, proj_weight_CF: Tensor) -> Tensor:
        return _linear(relu2(_linear(x_BTC, fc_weight_FC)), proj_weight_CF)

    return {"relu2": relu2, "relu2_mlp": relu2_mlp}


def embedding_stock() -> Stock:
    def token_order(tokens_BT: Tensor, vocab_size: int) -> Tensor:
        return tokens_BT.flatten().argsort(stable=True)

    def embedding(table_VC: Tensor, tokens_BT: Tensor, order_N: Tensor | None = None) -> Tensor:
        return F.embedding(tokens_BT, table_VC)

    def value_mix(
        v_BTKD: Tensor, gate_input_BTG: Tensor, gate_weight_KG: Tensor, table_VC: Tensor, tokens_BT: Tensor,
        order_N: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        gate_BTK = GATE_PEAK * torch.sigmoid(_linear(gate_input_BTG, gate_weight_KG))
        value_BTC = F.embedding(tokens_BT, table_VC).to(v_BTKD.dtype)
        return v_BTKD + gate_BTK.unsqueeze(-1) * value_BTC.view(v_BTKD.shape)

    return {"token_order": token_order, "embedding": embedding, "value_mix": value_mix}


def loss_stock() -> Stock:
    def softcap_cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        capped = cap(logits)
        return F.cross_entropy(capped.view(-1, capped.size(-1)), targets.view(-1), ignore_index=-1, reduction=reduction)

    def linear_softcap_cross_entropy(
        x_BTC: Tensor, weight_VC: Tensor, targets_BT: Tensor, vocab_size: int, reduction: str = "mean"
    ) -> Tensor:
        return softcap_cross_entropy(_linear(x_BTC, weight_VC)[..., :vocab_size], targets_BT, reduction)

    return {
        "softcap_cross_entropy": softcap_cross_entropy,
        "linear_softcap_cross_entropy": linear_softcap_cross_entropy,
    }


def cap(logits: Tensor) -> Tensor:
    """15 tanh(logits / 15) in float32."""
    return SOFTCAP * torch.tanh(logits.float() / SOFTCAP)


def _linear(x: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x, weight.to(dtype=x.dtype))
