"""The stand-in's model: upstream's symbols and attributes, written from the equations. Small enough to read."""

import torch
import torch.nn.functional as F
from torch import nn

from nanochat.common import COMPUTE_DTYPE
from nanochat.flash_attention import flash_attn


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


class Linear(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight.to(dtype=x.dtype))


def apply_rotary_emb(x, cos, sin):
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos + right * sin, right * cos - left * sin], dim=-1)


class CausalSelfAttention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.n_head, self.n_kv_head, self.head_dim = config.n_head, config.n_kv_head, config.n_embd // config.n_head
        width, narrow = config.n_embd, self.n_kv_head * self.head_dim
        self.c_q, self.c_k, self.c_v = (Linear(width, n, bias=False) for n in (width, narrow, narrow))
        self.c_proj = Linear(width, width, bias=False)
        self.ve_gate_channels = 12
        self.ve_gate = Linear(12, self.n_kv_head, bias=False) if layer % 2 else None

    def forward(self, x, ve, cos_sin, window_size, kv_cache):
        B, T, _ = x.size()
        q = self.c_q(x).view(B, T, self.n_head, self.head_dim)
        k = self.c_k(x).view(B, T, self.n_kv_head, self.head_dim)
        v = self.c_v(x).view(B, T, self.n_kv_head, self.head_dim)
        if ve is not None:
            gate = 3 * torch.sigmoid(self.ve_gate(x[..., : self.ve_gate_channels]))
            v = v + gate.unsqueeze(-1) * ve.view(B, T, self.n_kv_head, self.head_dim)
        q, k = norm(apply_rotary_emb(q, *cos_sin)) * 1.2, norm(apply_rotary_emb(k, *cos_sin)) * 1.2
        y = flash_attn.flash_attn_func(q, k, v, causal=True, window_size=window_size)
        return self.c_proj(y.contiguous().view(B, T, -1))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.c_proj = Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x):
        return self.c_proj(F.relu(self.c_fc(x)).square())


class Block(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.attn, self.mlp = CausalSelfAttention(config, layer), MLP(config)

    def forward(self, x, ve, cos_sin, window_size, kv_cache):
        x = x + self.attn(norm(x), ve, cos_sin, window_size, kv_cache)
        return x + self.mlp(norm(x))


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, padded = config, -(-config.vocab_size // 64) * 64
        blocks = nn.ModuleList([Block(config, layer) for layer in range(config.n_layer)])
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(padded, config.n_embd), "h": blocks})
        self.lm_head = Linear(config.n_embd, padded, bias=False)
        self.resid_lambdas = nn.Parameter(torch.linspace(1.1, 1.0, config.n_layer))
        self.x0_lambdas = nn.Parameter(torch.linspace(0.2, 0.1, config.n_layer))
        self.smear_gate = Linear(24, 1, bias=False)
        self.smear_lambda, self.backout_lambda = nn.Parameter(torch.ones(1) / 8), nn.Parameter(torch.ones(1) / 4)
        narrow = config.n_kv_head * (config.n_embd // config.n_head)
        layers = [str(layer) for layer in range(config.n_layer) if layer % 2]
        self.value_embeds = nn.ModuleDict({layer: nn.Embedding(padded, narrow) for layer in layers})
        self.window_sizes = [(config.window, 0)] * (config.n_layer - 1) + [(-1, 0)]
        half = config.n_embd // config.n_head // 2
        angle = torch.outer(torch.arange(config.sequence_len * 2.0), 100.0 ** -(torch.arange(half) / half))
        self.register_buffer("cos", angle.cos()[None, :, None, :].to(COMPUTE_DTYPE), persistent=False)
        self.register_buffer("sin", angle.sin()[None, :, None, :].to(COMPUTE_DTYPE), persistent=False)

    def forward(self, idx, targets=None, kv_cache=None, loss_reduction="mean"):
        T = idx.size(1)
        cos_sin = self.cos[:, :T], self.sin[:, :T]
        x = norm(self.transformer.wte(idx).to(COMPUTE_DTYPE))
        if T > 1:
            gate = self.smear_lambda.to(x.dtype) * torch.sigmoid(self.smear_gate(x[:, 1:, :24]))
            x = torch.cat([x[:, :1], x[:, 1:] + gate * x[:, :-1]], dim=1)
        x0 = x
        for i, block in enumerate(self.transformer.h):
            x = self.resid_lambdas[i] * x + self.x0_lambdas[i] * x0
            ve = self.value_embeds[str(i)](idx).to(x.dtype) if str(i) in self.value_embeds else None
            x = block(x, ve, cos_sin, self.window_sizes[i], kv_cache)
            if i == self.config.n_layer // 2:
                x_back = x
        x = norm(x - self.backout_lambda.to(x.dtype) * x_back)
        logits = self.lm_head(x)[..., : self.config.vocab_size].float()
        logits = 15 * torch.tanh(logits / 15)
        if targets is None:
            return logits
        flat = logits.view(-1, logits.size(-1))
        return F.cross_entropy(flat, targets.view(-1), ignore_index=-1, reduction=loss_reduction)
