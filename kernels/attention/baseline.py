"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd.

Axes: B batch, T time, H query heads, K key heads, D head size.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attention(q_BTHD: Tensor, k_BTKD: Tensor, v_BTKD: Tensor, window: int) -> Tensor:
    """Fused attention: the causal flag where the window reaches everything, else a boolean mask over all T x T.

    The mask is cached, which is never slower than upstream's new one in every call.
    """
    T = q_BTHD.shape[1]
    mask_TT = None if window >= T - 1 else _visible(T, window, q_BTHD.device)
    return _attend(q_BTHD, k_BTKD, v_BTKD, mask_TT)


def chunked(q_BTHD: Tensor, k_BTKD: Tensor, v_BTKD: Tensor, window: int) -> Tensor:
    """Query chunks as long as the window, each against the keys it can see: no work on far masked blocks."""
    T = q_BTHD.shape[1]
    step = max(64, window)
    if step >= T:
        return attention(q_BTHD, k_BTKD, v_BTKD, window)
    pieces = []
    for begin in range(0, T, step):
        end, low = min(T, begin + step), max(0, begin - window)
        visible = _visible(end - low, window, q_BTHD.device)[begin - low :]
        pieces.append(_attend(q_BTHD[:, begin:end], k_BTKD[:, low:end], v_BTKD[:, low:end], visible))
    return torch.cat(pieces, dim=1)


def _attend(q_BTHD: Tensor, k_BTKD: Tensor, v_BTKD: Tensor, mask: Tensor | None) -> Tensor:
    q_BHTD, k_BKTD, v_BKTD = (x.transpose(1, 2) for x in (q_BTHD, k_BTKD, v_BTKD))
    grouped = q_BHTD.shape[1] != k_BKTD.shape[1]
    out_BHTD = scaled_dot_product_attention(
        q_BHTD, k_BKTD, v_BKTD, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped
    )
    return out_BHTD.transpose(1, 2)


@functools.lru_cache(maxsize=64)
def _visible(T: int, window: int, device: torch.device) -> Tensor:
    position = torch.arange(T, device=device)
    age_TT = position[:, None] - position[None, :]
    return (age_TT >= 0) & (age_TT <= window)


RIVALS: dict[str, Callable[..., Tensor]] = {"chunked": chunked}
