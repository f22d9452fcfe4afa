"""Attention of the stand-in, behind a namespace as upstream has it."""

from types import SimpleNamespace

import torch
from torch.nn.functional import scaled_dot_product_attention


def _sdpa_attention(q, k, v, window):
    age = torch.arange(q.size(1))[:, None] - torch.arange(k.size(1))[None, :]
    visible = (age >= 0) & ((age <= window) | (window < 0))
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=visible, enable_gqa=q.size(1) != k.size(1)).transpose(1, 2)


def flash_attn_func(q, k, v, causal=False, window_size=(-1, -1)):
    if not causal:
        out = scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))
        return out.transpose(1, 2)
    return _sdpa_attention(q, k, v, window_size[0])


flash_attn = SimpleNamespace(flash_attn_func=flash_attn_func)
