"""Replacements for upstream's functions, written over entries: `make(ops, original, module, count)` gives one.

Each has the signature of what it replaces. What it does not cover (a key-value cache, one token, another reduction)
goes to the original with its arguments as they came, and is counted by `count(reason)`. Names of upstream's attributes
that appear here are held by the digests in table.py: where one is gone, a digest differs, and the patch stays out.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernelsearch.dispatch.upstream.stock import STEPS, cap

Ops = Mapping[str, Callable[..., Any]]
Count = Callable[[str], None]
REDUCTIONS = ("mean", "none")
TAKES_VALUES = "takes_values"  # an attribute of an attention forward that accepts Values


class Values(NamedTuple):
    """Value embeddings not yet gathered, in place of the gathered ones: arguments of `value_mix`."""

    table_VC: Tensor
    tokens_BT: Tensor
    order_N: Tensor | None


def make_norm(ops: Ops, original: Callable[..., Any], module: ModuleType, count: Count) -> Callable[..., Any]:
    rms_norm = ops["rms_norm"]

    def norm(x: Tensor) -> Any:
        return rms_norm(x)

    return norm


def make_attention(ops: Ops, original: Callable[..., Any], module: ModuleType, count: Count) -> Callable[..., Any]:
    attention = ops["attention"]

    def flash_attn_func(
        q: Tensor, k: Tensor, v: Tensor, causal: bool = False, window_size: tuple[int, int] = (-1, -1)
    ) -> Any:
        if not causal or window_size[1] > 0 or q.size(1) != k.size(1):
            count("not causal self-attention")
            return original(q, k, v, causal=causal, window_size=window_size)
        return attention(q, k, v, window_size[0] if window_size[0] >= 0 else q.size(1))

    return flash_attn_func


def make_attention_forward(
    ops: Ops, original: Callable[..., Any], module: ModuleType, count: Count
) -> Callable[..., Any]:
    rope_qknorm, value_mix = ops["rope_qknorm"], ops["value_mix"]

    def forward(
        self: Any, x: Tensor, ve: Any, cos_sin: tuple[Tensor, Tensor], window_size: tuple[int, int], kv_cache: Any
    ) -> Any:
        if kv_cache is not None:
            count("key-value cache")
            return original(self, x, ve, cos_sin, window_size, kv_cache)
        B, T, _ = x.size()
        q = self.c_q(x).view(B, T, self.n_head, self.head_dim)
        k = self.c_k(x).view(B, T, self.n_kv_head, self.head_dim)
        v = self.c_v(x).view(B, T, self.n_kv_head, self.head_dim)
        if isinstance(ve, Values):
            v = value_mix(v, x[..., : self.ve_gate_channels], self.ve_gate.weight, *ve)
        elif ve is not None:
            gate = 3 * torch.sigmoid(self.ve_gate(x[..., : self.ve_gate_channels]))
            v = v + gate.unsqueeze(-1) * ve.view(v.shape)
        q, k = rope_qknorm(q, k, *cos_sin)
        y = module.flash_attn.flash_attn_func(q, k, v, causal=True, window_size=window_size)
        return self.c_proj(y.contiguous().view(B, T, -1))

    setattr(forward, TAKES_VALUES, True)
    return forward


def make_linear_forward(ops: Ops, original: Callable[..., Any], module: ModuleType, count: Count) -> Callable[..., Any]:
    linear = ops["linear"]

    def forward(self: Any, x: Tensor) -> Any:
        return linear(x, self.weight)

    return forward


def make_mlp_forward(ops: Ops, original: Callable[..., Any], module: ModuleType, count: Count) -> Callable[..., Any]:
    relu2, relu2_mlp, plain = ops["relu2"], ops.get("relu2_mlp"), module.Linear

    def forward(self: Any, x: Tensor) -> Any:
        if relu2_mlp is not None:
            # An fp8 layer has a product of its own.
            if type(self.c_fc) is plain and type(self.c_proj) is plain:
                return relu2_mlp(x, self.c_fc.weight, self.c_proj.weight)
            count("a layer that is not Linear")
        return self.c_proj(relu2(self.c_fc(x)))

    return forward


def make_model_forward(ops: Ops, original: Callable[..., Any], module: ModuleType, count: Count) -> Callable[..., Any]:
    """The forward pass without a cache. Its blocks are walked here, because mix and norm meet between them."""
    head_loss, find_order, plain = ops.get("linear_softcap_cross_entropy"), ops.get("token_order"), module.Linear
    embedding, smear_embed, backout_norm = ops["embedding"], ops["smear_embed"], ops["backout_norm"]
    dtype = module.COMPUTE_DTYPE

    def refuse(self: Any, idx: Tensor, targets: Tensor | None, kv_cache: Any, loss_reduction: str) -> str | None:
        if kv_cache is not None:
            return "key-value cache"
        if idx.size(1) < 2 or idx.size(1) > self.cos.size(1):
            return "T is one or beyond the rotary tables"
        if idx.device != self.cos.device or self.cos.dtype != dtype:
            return "another device or dtype than the rotary tables"
        return None if targets is None or loss_reduction in REDUCTIONS else "another loss reduction"

    def forward(
        self: Any, idx: Tensor, targets: Tensor | None = None, kv_cache: Any = None, loss_reduction: str = "mean"
    ) -> Any:
        reason = refuse(self, idx, targets, kv_cache, loss_reduction)
        if reason is not None:
            count(reason)
            return original(self, idx, targets, kv_cache, loss_reduction)
        cos_sin = self.cos[:, : idx.size(1)], self.sin[:, : idx.size(1)]
        table = self.transformer.wte.weight
        order = None if find_order is None else find_order(idx, table.size(0))
        x = smear_embed(embedding(table, idx, order).to(dtype), self.smear_gate.weight, self.smear_lambda)
        x, x_back = walk(self, idx, x, cos_sin, order)
        x = backout_norm(x, x_back, self.backout_lambda)
        size = self.config.vocab_size
        if targets is not None and head_loss is not None and type(self.lm_head) is plain:
            return head_loss(x, self.lm_head.weight, targets, size, loss_reduction)
        logits = self.lm_head(x)[..., :size]
        if targets is None:
            return cap(logits)
        return ops["softcap_cross_entropy"](logits, targets, loss_reduction)

    walk = make_trunk(ops, module)
    return forward


def make_trunk(ops: Ops, module: ModuleType) -> Callable[..., tuple[Tensor, Tensor]]:
    """The blocks: (x after the last, x after the middle one)."""
    mix_norm, rms_norm, embedding = ops["mix_norm"], ops["rms_norm"], ops["embedding"]
    takes_values = hasattr(module.CausalSelfAttention.forward, TAKES_VALUES)

    def walk(
        self: Any, idx: Tensor, x: Tensor, cos_sin: tuple[Tensor, Tensor], order: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        x0 = x_back = x
        for layer, block in enumerate(self.transformer.h):
            ve: Any = None
            if str(layer) in self.value_embeds:
                table = self.value_embeds[str(layer)].weight
                ve = Values(table, idx, order) if takes_values else embedding(table, idx, order).to(x.dtype)
            x, normed = mix_norm(x, x0, self.resid_lambdas[layer], self.x0_lambdas[layer])
            x = x + block.attn(normed, ve, cos_sin, self.window_sizes[layer], None)
            x = x + block.mlp(rms_norm(x))
            if layer == self.config.n_layer // 2:
                x_back = x
        return x, x_back

    return walk


def make_adamw_step(ops: Ops, original: Callable[..., Any], module: ModuleType, count: Count) -> Callable[..., Any]:
    step = ops["adamw_step"]

    def adamw_step_fused(
        p: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor,
        step_t: Tensor, lr_t: Tensor, beta1_t: Tensor, beta2_t: Tensor, eps_t: Tensor, wd_t: Tensor,
    ) -> None:  # fmt: skip
        if not (p.is_contiguous() and exp_avg.is_contiguous() and exp_avg_sq.is_contiguous()):
            count("not contiguous")
            original(p, grad, exp_avg, exp_avg_sq, step_t, lr_t, beta1_t, beta2_t, eps_t, wd_t)
            return
        step(
            p, grad, exp_avg, exp_avg_sq, step=int(step_t), lr=float(lr_t), beta1=float(beta1_t),
            beta2=float(beta2_t), eps=float(eps_t), weight_decay=float(wd_t),
        )  # fmt: skip

    return adamw_step_fused


def make_muon_step(ops: Ops, original: Callable[..., Any], module: ModuleType, count: Count) -> Callable[..., Any]:
    step, narrow = ops["muon_step"], module.COMPUTE_DTYPE is torch.bfloat16

    def muon_step_fused(
        stacked_grads: Tensor, stacked_params: Tensor, momentum_buffer: Tensor, second_momentum_buffer: Tensor,
        momentum_t: Tensor, lr_t: Tensor, wd_t: Tensor, beta2_t: Tensor, ns_steps: int, red_dim: int,
    ) -> None:  # fmt: skip
        usual = -1 if stacked_params.size(-2) >= stacked_params.size(-1) else -2
        if ns_steps != STEPS or red_dim != usual:
            count("another number of iterations or axis")
            original(
                stacked_grads, stacked_params, momentum_buffer, second_momentum_buffer,
                momentum_t, lr_t, wd_t, beta2_t, ns_steps, red_dim,
            )  # fmt: skip
            return
        step(
            stacked_params, stacked_grads, momentum_buffer, second_momentum_buffer,
            lr=float(lr_t), momentum=float(momentum_t), beta2=float(beta2_t), weight_decay=float(wd_t),
            matmul_dtype=torch.bfloat16 if narrow else stacked_grads.dtype,
        )  # fmt: skip

    return muon_step_fused
