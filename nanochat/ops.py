"""The hot paths of training, as one injected value.

`Ops()` is the baseline: what plain PyTorch runs today. A faster kernel replaces one field and nothing else, so the
model holds no switches and no patches. Matrices are given as they are stored, float32, and each op narrows them to the
dtype of x as it needs. Three fields span others and are None by default: only a kernel has a reason to. Every field has
an eager function of its name here. The trap is a straw-man baseline: each is the faster of the obvious ways to write it
with stock operators.

Axes: B batch, T sequence, C width, H query heads, K key and value heads, D head dimension, d = D/2, V rows of a table,
G leading channels that a gate reads, N = B*T, D (of lengths) documents.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nanochat.muon import muon_step

RMS_EPSILON = 2.0**-23  # what F.rms_norm(eps=None) uses, for bfloat16 input too: its statistics are float32
SOFTCAP = 15.0
QK_SCALE = 1.2  # sharpens attention; split evenly between queries and keys
VALUE_GATE_PEAK = 3.0


@functools.lru_cache(maxsize=64)
def window_mask(length: int, window: int, device: torch.device) -> Tensor:
    """Boolean (T, T): query i (row) sees key j (column) iff i - window <= j <= i."""
    distance_TT = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)[None, :]
    return (distance_TT >= 0) & (distance_TT <= window)


def attention(q_BTHD: Tensor, k_BTKD: Tensor, v_BTKD: Tensor, window: int) -> Tensor:
    """Causal attention over the `window` previous tokens and the token itself: out_BTHD, scale 1/sqrt(D).

    As upstream does without FlashAttention-3: the causal fast path when the window covers the sequence, otherwise a
    dense mask. Upstream rebuilds the mask on every call; it is cached here because that is never slower (B=8 T=512 H=4
    D=64 forward and backward, 2 cores of an AMD EPYC with AVX-512: 67 ms rebuilt, 55 ms cached).
    """
    length = q_BTHD.size(1)
    mask_TT = None if window >= length else window_mask(length, window, q_BTHD.device)
    out_BHTD = F.scaled_dot_product_attention(
        q_BTHD.transpose(1, 2),
        k_BTKD.transpose(1, 2),
        v_BTKD.transpose(1, 2),
        attn_mask=mask_TT,
        is_causal=mask_TT is None,
        enable_gqa=q_BTHD.size(2) != k_BTKD.size(2),
    )
    return out_BHTD.transpose(1, 2)


def rms_norm(x: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + 2^-23) over the last axis, no weight; float32 inside, rounded once to x.dtype."""
    return F.rms_norm(x, (x.size(-1),), eps=RMS_EPSILON)


def mix_norm(x: Tensor, x0: Tensor, resid_lambda: Tensor, x0_lambda: Tensor) -> tuple[Tensor, Tensor]:
    """(mixed, normed): mixed = resid_lambda * x + x0_lambda * x0, normed = rms_norm(mixed).

    x and x0 have one shape and dtype; the lambdas are 0-dim float32, so the products stay in x.dtype.
    """
    mixed = resid_lambda * x + x0_lambda * x0
    return mixed, rms_norm(mixed)


def rotate(x_BTHD: Tensor, cos_T1d: Tensor, sin_T1d: Tensor) -> Tensor:
    """Rotary embedding by minus theta (Su et al., https://arxiv.org/abs/2104.09864); d = D/2.

    The sign is the opposite of the paper's, kept so that weights trained by upstream stay valid.
    """
    left, right = x_BTHD.chunk(2, dim=-1)
    return torch.cat([left * cos_T1d + right * sin_T1d, right * cos_T1d - left * sin_T1d], dim=-1)


def rope_qknorm(q_BTHD: Tensor, k_BTKD: Tensor, cos_T1d: Tensor, sin_T1d: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys, rotated, normed over D and scaled by 1.2; cos and sin are (1, T, 1, d) in the inputs' dtype."""
    q_BTHD = rms_norm(rotate(q_BTHD, cos_T1d, sin_T1d)) * QK_SCALE
    k_BTKD = rms_norm(rotate(k_BTKD, cos_T1d, sin_T1d)) * QK_SCALE
    return q_BTHD, k_BTKD


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x weight^T: x (..., C), weight (O, C)."""
    return F.linear(x, weight.to(x.dtype))


def relu2(h: Tensor) -> Tensor:
    """The square of the positive part (So et al., https://arxiv.org/abs/2109.08668)."""
    return F.relu(h).square()


def relu2_mlp(x_BTC: Tensor, fc_weight_FC: Tensor, proj_weight_CF: Tensor) -> Tensor:
    """relu2(x fc^T) proj^T, F = 4C."""
    return linear(relu2(linear(x_BTC, fc_weight_FC)), proj_weight_CF)


def token_order(tokens_BT: Tensor, vocab_size: int) -> Tensor:
    """Positions of the flat tokens, sorted by token and then by position: (N) int64.

    Every token is below vocab_size, which a counting sort may use.
    """
    return tokens_BT.flatten().argsort(stable=True)


def embedding(table_VC: Tensor, tokens_BT: Tensor, order_N: Tensor | None = None) -> Tensor:
    """Rows of the table, (B, T, C). The backward is the dense gradient of the table; order_N is `token_order`'s."""
    return F.embedding(tokens_BT, table_VC)


def value_mix(
    v_BTKD: Tensor,
    gate_input_BTG: Tensor,
    gate_weight_KG: Tensor,
    table_VC: Tensor,
    tokens_BT: Tensor,
    order_N: Tensor | None = None,
) -> Tensor:
    """v + gate * value embedding of the token, gate = 3 sigmoid(gate_weight gate_input) for each head; C = K*D."""
    gate_BTK = VALUE_GATE_PEAK * torch.sigmoid(linear(gate_input_BTG, gate_weight_KG))
    value_BTC = embedding(table_VC, tokens_BT, order_N).to(v_BTKD.dtype)
    return v_BTKD + gate_BTK.unsqueeze(-1) * value_BTC.view_as(v_BTKD)


def smear_embed(rows_BTC: Tensor, gate_weight_1G: Tensor, smear_lambda: Tensor) -> Tensor:
    """Rows normed, each with a gated share of its un-smeared predecessor added; smear_lambda has one element."""
    x = rms_norm(rows_BTC)
    weight = gate_weight_1G.to(x.dtype)
    gate = smear_lambda.to(x.dtype) * torch.sigmoid(F.linear(x[:, 1:, : weight.size(1)], weight))
    return torch.cat([x[:, :1], x[:, 1:] + gate * x[:, :-1]], dim=1)


def backout_norm(x: Tensor, x_back: Tensor, backout_lambda: Tensor) -> Tensor:
    """rms_norm(x - backout_lambda * x_back); backout_lambda has one element."""
    return rms_norm(x - backout_lambda.to(x.dtype) * x_back)


def softcap_cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross entropy of 15 * tanh(logits / 15) in float32.

    logits (..., V) in any dtype, targets (...) int64 with -1 for ignored. "mean" divides by the number of targets that
    are not ignored and returns a scalar; "none" returns a flat vector with 0 where ignored.
    """
    capped = SOFTCAP * torch.tanh(logits.float() / SOFTCAP)
    return F.cross_entropy(capped.view(-1, capped.size(-1)), targets.reshape(-1), ignore_index=-1, reduction=reduction)


def linear_softcap_cross_entropy(
    x_BTC: Tensor, weight_VC: Tensor, targets_BT: Tensor, vocab_size: int, reduction: str = "mean"
) -> Tensor:
    """`softcap_cross_entropy` of the first vocab_size columns of x weight^T: the rest is padding."""
    logits_BTV = linear(x_BTC, weight_VC)[..., :vocab_size]
    return softcap_cross_entropy(logits_BTV, targets_BT, reduction)


@torch.no_grad()
def adamw_step(
    p: Tensor,
    g: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """One AdamW step in place (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101); `step` counts from 1.

    Arithmetic is float32 and the state is stored in the parameter's dtype. Both bias corrections are folded into
    scalars, which leaves one temporary: 1M float32 parameters take 0.69 ms against 7.0 ms for the textbook chain with
    four temporaries (same machine as in `attention`).
    """
    if p.dtype != torch.float32:
        wide = [tensor.float() for tensor in (p, exp_avg, exp_avg_sq)]
        rates = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
        adamw_step(wide[0], g.float(), wide[1], wide[2], step=step, **rates)
        for narrow, value in zip((p, exp_avg, exp_avg_sq), wide, strict=True):
            narrow.copy_(value)
        return
    root_bias2 = (1 - beta2**step) ** 0.5
    p.mul_(1 - lr * weight_decay)
    exp_avg.lerp_(g, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    denominator = exp_avg_sq.sqrt().add_(eps * root_bias2)
    p.addcdiv_(exp_avg, denominator, value=-lr * root_bias2 / (1 - beta1**step))


def pack_documents(lengths_D: Tensor, *, capacity: int, filled: int, rows: int, keep: int) -> tuple[Tensor, Tensor]:
    """Best-fit packing into rows of `capacity` tokens: (documents_D, tokens_D) int64, -1 and 0 behind the last piece.

    Again and again the largest document that fits its row, the first of equals, is taken whole; where none fits, the
    first of the shortest is cropped and closes the row. The first row holds `filled` tokens already. Ends when `rows`
    rows are full, or when fewer than `keep` documents, or none, are left to choose from. Lengths are on the CPU.
    """
    left = lengths_D.numpy().copy()
    taken = np.iinfo(np.int64).max
    documents, tokens = np.full(len(left), -1), np.zeros(len(left), dtype=np.int64)
    room, count = capacity - filled, 0
    while rows > 0 and len(left) - count >= max(keep, 1):
        fitting = np.where(left <= room, left, 0)
        chosen = int(fitting.argmax())
        if not fitting[chosen]:
            chosen = int(left.argmin())
        documents[count], tokens[count] = chosen, min(int(left[chosen]), room)
        room -= int(tokens[count])
        left[chosen] = taken
        count += 1
        if room == 0:
            room, rows = capacity, rows - 1
    return torch.from_numpy(documents), torch.from_numpy(tokens)


class AdamWStep(Protocol):
    """Update p, exp_avg and exp_avg_sq in place; see `adamw_step`."""

    def __call__(
        self,
        p: Tensor,
        g: Tensor,
        exp_avg: Tensor,
        exp_avg_sq: Tensor,
        *,
        step: int,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
    ) -> None: ...


class PackDocuments(Protocol):
    """Which documents fill the next rows; see `pack_documents`."""

    def __call__(
        self, lengths_D: Tensor, /, *, capacity: int, filled: int, rows: int, keep: int
    ) -> tuple[Tensor, Tensor]: ...


class MuonStep(Protocol):
    """Update params, momentum_buffer and second_moment in place; see `nanochat.muon.muon_step`."""

    def __call__(
        self,
        params_KMN: Tensor,
        grads_KMN: Tensor,
        momentum_buffer: Tensor,
        second_moment: Tensor,
        *,
        lr: float,
        momentum: float,
        beta2: float,
        weight_decay: float,
        matmul_dtype: torch.dtype,
    ) -> None: ...


@dataclass(frozen=True)
class Ops:
    """Callables for the hot paths; the steps work in place, all others are differentiable."""

    attention: Callable[[Tensor, Tensor, Tensor, int], Tensor] = attention
    rms_norm: Callable[[Tensor], Tensor] = rms_norm
    mix_norm: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = mix_norm
    rope_qknorm: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = rope_qknorm
    linear: Callable[[Tensor, Tensor], Tensor] = linear  # every layer of the model but the gates
    relu2: Callable[[Tensor], Tensor] = relu2
    relu2_mlp: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None  # spans both products and relu2
    token_order: Callable[[Tensor, int], Tensor] | None = None  # spares embedding and value_mix a sort each
    embedding: Callable[[Tensor, Tensor, Tensor | None], Tensor] = embedding
    value_mix: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor] = value_mix
    smear_embed: Callable[[Tensor, Tensor, Tensor], Tensor] = smear_embed
    backout_norm: Callable[[Tensor, Tensor, Tensor], Tensor] = backout_norm
    softcap_cross_entropy: Callable[..., Tensor] = softcap_cross_entropy  # (logits, targets, reduction="mean")
    linear_softcap_cross_entropy: Callable[..., Tensor] | None = None  # spans the head's product and softcap
    adamw_step: AdamWStep = adamw_step
    muon_step: MuonStep = muon_step
    pack_documents: PackDocuments = pack_documents

    @classmethod
    def eager(cls) -> "Ops":
        """The baseline on stock PyTorch operators."""
        return cls()
