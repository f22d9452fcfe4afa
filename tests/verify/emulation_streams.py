"""What stands around attention and the residual stream, written out as in emulation.py: backout, smear, value mix."""

import torch
from torch import Tensor

from tests.verify.arithmetic import Arithmetic

EPSILON, PEAK = 2.0**-23, 3.0
Tensors = dict[str, Tensor]


def backout_norm(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype = inputs["x"].dtype
    x, back, backout = (way.read(inputs[name]) for name in ("x", "x_back", "backout"))
    r, y = _norm(way, x - way.keep_as("product", backout * back))
    dx = _norm_backward(way, r, y, way.read(gradients["dnormed"]))
    dbackout = -way.sum(way.sum(dx * back)[:, 0]).reshape(()).float()
    found = {"normed": y, "dx": dx, "dx_back": -backout * dx}
    return {name: value.to(dtype) for name, value in found.items()} | {"dbackout": dbackout}


def smear_embed(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype = inputs["rows"].dtype
    rows, weight, smear = (way.read(inputs[name]) for name in ("rows", "gate_weight", "smear"))
    dout, gating = way.read(gradients["dout"]), weight.shape[1]
    r, x = _norm(way, rows)
    x = way.keep_as("normed", x)
    s = _sigmoid(way, way.sum(x[..., :gating] * weight))
    share = way.keep_as("gate", smear * s)
    x_before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
    dgate = way.sum(dout * x_before)
    da = smear * dgate * s * (1 - s)
    dx = dout + torch.cat([(share * dout)[:, 1:], torch.zeros_like(x[:, :1])], dim=1)
    dx = dx + torch.nn.functional.pad(da * weight, (0, x.shape[-1] - gating))
    dweight = way.sum((da * x[..., :gating]).flatten(0, 1).T)
    return {
        "out": (x + share * x_before).to(dtype),
        "drows": _norm_backward(way, r, x, dx).to(dtype),
        "dgate_weight": dweight.T.float(),
        "dsmear": way.sum((dgate * s).flatten()).reshape(()).float(),
    }


def value_mix(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype, tokens = inputs["v"].dtype, inputs["tokens"]
    v, x, weight, table = (way.read(inputs[name]) for name in ("v", "gate_input", "gate_weight", "table"))
    dmixed = way.read(gradients["dmixed"])
    rows = table[tokens].view_as(v)
    s = _sigmoid(way, way.product(x, weight.T))
    gate = way.keep_as("gate", PEAK * s)
    da = gate * (1 - s) * way.sum(dmixed * rows)[..., 0]
    terms = (gate[..., None] * dmixed).flatten(1)
    positions = range(len(tokens))
    dtable = torch.zeros_like(table)
    for n in reversed(positions) if way.order == "reversed" else positions:
        dtable[tokens[n]] = way.accumulator(dtable[tokens[n]] + terms[n])
    return {
        "mixed": (v + gate[..., None] * rows).to(dtype),
        "dgate_input": way.product(da, weight).to(dtype),
        "dgate_weight": way.product(da.T, x).float(),
        "dtable": dtable.to(dtype),
    }


def _sigmoid(way: Arithmetic, score: Tensor) -> Tensor:
    return way.function(1 / (1 + way.function(torch.exp(-score))))


def _norm(way: Arithmetic, x: Tensor) -> tuple[Tensor, Tensor]:
    r = way.function((way.sum(x * x) / x.shape[-1] + EPSILON).rsqrt())
    return r, r * x


def _norm_backward(way: Arithmetic, r: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    return r * (dy - y * (way.sum(dy * y) / y.shape[-1]))
