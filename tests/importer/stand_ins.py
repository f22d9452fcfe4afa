"""The five problems as other kernels might compute them, in float32; `low` lowers an operand's precision."""

import torch
from torch import Tensor
from torch.nn import functional as F


def same(x: Tensor) -> Tensor:
    return x


def tf32(x: Tensor) -> Tensor:
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def half(x: Tensor) -> Tensor:
    return x.half().float()


def bfloat16(x: Tensor) -> Tensor:
    return x.bfloat16().float()


def serial(x: Tensor) -> Tensor:
    """Sums of the last axis, one term after another, from the end."""
    total = torch.zeros(x.shape[:-1])
    for k in reversed(range(x.shape[-1])):
        total = total + x[..., k]
    return total


def matmul(v, low=same, drop=0):
    A, B = low(v["A"]), low(v["B"])
    K = A.shape[1] - drop
    return serial((A[:, :K, None] * B[None, :K]).transpose(1, 2))


def soft_max(v, low=same, drop=0):
    x = low(v["x"])
    e = (x - x.amax(1, keepdim=True)).exp()
    return e / serial(e[:, : x.shape[1] - drop])[:, None]


def layer_norm(v, low=same, drop=0):
    x = low(v["x"])
    n = x.shape[1] - drop
    centred = x - serial(x[:, :n])[:, None] / n
    variance = serial(centred[:, :n] * centred[:, :n])[:, None] / n
    return centred / (variance + 1e-5).sqrt() * v["norm_weight"] + v["norm_bias"]


def linear_relu_scale(v, low=same, drop=0):
    x, weight = low(v["x"]), low(v["linear_weight"])
    n = x.shape[1] - drop
    return 1.5 * torch.relu(serial(x[:, None, :n] * weight[None, :, :n]) + v["linear_bias"])


def conv2d(v, low=same, drop=0):
    """Patches as rows, multiplied from the last channel to the first."""
    weight = low(v["conv_weight"])
    patches = F.unfold(low(v["x"]), weight.shape[2:]).transpose(1, 2)
    rows = weight.flatten(1)
    n = rows.shape[1] - drop
    out = serial(patches[:, :, None, :n] * rows[None, None, :, :n]).transpose(1, 2) + v["conv_bias"][None, :, None]
    height = v["x"].shape[2] - weight.shape[2] + 1
    return out.reshape(*out.shape[:2], height, -1)


STAND_INS = {
    "matmul": matmul,
    "1_Soft_max": soft_max,
    "layer_norm": layer_norm,
    "linear_relu_scale": linear_relu_scale,
    "conv2d": conv2d,
}
