"""Every entry's formulas, forward and backward, with an `Arithmetic` for each step that kernels do differently.

Written out by hand rather than by autograd, so that the backward's sums can be emulated as well as the forward's.
Each returns results by name in the dtype of the contract. Axes as in the targets' references.
"""

from math import sqrt

import torch
from torch import Tensor

from tests.verify.arithmetic import Arithmetic
from tests.verify.emulation_streams import backout_norm, smear_embed, value_mix

__all__ = ("backout_norm", "smear_embed", "value_mix")  # the others are defined here
EPSILON, CAP, QK_SCALE = 2.0**-23, 15.0, 1.2
Tensors = dict[str, Tensor]


def rms_norm(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype = inputs["x"].dtype
    x, dy = way.read(inputs["x"]), way.read(gradients["dy"])
    r, y = _norm(way, x)
    y_again = way.keep_as("y", y)
    return {"y": y.to(dtype), "dx": _norm_backward(way, r, y_again, dy).to(dtype)}


def mix_norm(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype = inputs["x"].dtype
    x, x0, resid, skip = (way.read(inputs[name]) for name in ("x", "x0", "resid", "skip"))
    dmixed, dnormed = way.read(gradients["dmixed"]), way.read(gradients["dnormed"])
    mixed = way.keep_as("products", resid * x) + way.keep_as("products", skip * x0)
    r, normed = _norm(way, way.keep_as("mixed", mixed))
    total = dmixed + _norm_backward(way, r, way.keep_as("y", normed), dnormed)
    scalars = {}
    for name, stream in (("dresid", x), ("dskip", x0)):
        rows = way.sum(total * stream)
        scalars[name] = way.sum(rows[:, 0]).reshape(()).float()
    found = {"mixed": mixed, "normed": normed, "dx": resid * total, "dx0": skip * total}
    return {name: value.to(dtype) for name, value in found.items()} | scalars


def _norm(way: Arithmetic, x: Tensor) -> tuple[Tensor, Tensor]:
    r = way.function((way.sum(x * x) / x.shape[-1] + EPSILON).rsqrt())
    return r, r * x


def _norm_backward(way: Arithmetic, r: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    return r * (dy - y * (way.sum(dy * y) / y.shape[-1]))


def rope_qknorm(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype, found = inputs["q"].dtype, {}
    cos, sin = way.read(inputs["cos"]), way.read(inputs["sin"])
    for name in "qk":
        x, z = way.read(inputs[name]).chunk(2, dim=-1)
        dout = way.read(gradients[f"d{name}_out"])
        u = way.keep_as("turned", torch.cat([cos * x + sin * z, cos * z - sin * x], dim=-1))
        r, n = _norm(way, u)
        out = QK_SCALE * n
        again = way.keep_as("out", out) / QK_SCALE
        p, w = _norm_backward(way, r, again, QK_SCALE * dout).chunk(2, dim=-1)
        found[f"{name}_out"] = out.to(dtype)
        found[f"d{name}"] = torch.cat([cos * p - sin * w, sin * p + cos * w], dim=-1).to(dtype)
    return found


def relu2(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype = inputs["h"].dtype
    positive, dout = way.read(inputs["h"]).relu(), way.read(gradients["dactivated"])
    return {"activated": (positive * positive).to(dtype), "dh": (2 * positive * dout).to(dtype)}


def linear(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype = inputs["x"].dtype
    x, weight, dy = way.read(inputs["x"]), way.read(inputs["weight"]), way.read(gradients["dy"])
    found = {"y": way.product(x, weight.T), "dx": way.product(dy, weight), "dweight": way.product(dy.T, x)}
    return {name: value.to(dtype) for name, value in found.items()}


def relu2_mlp(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype = inputs["input"].dtype
    x, fc, proj = (way.read(inputs[name]) for name in ("input", "fc", "proj"))
    dout = way.read(gradients["dprojected"])
    positive = way.keep_as("h", way.product(x, fc.T)).relu()
    activated = way.keep_as("a", positive * positive)
    da = way.keep_as("da", way.product(dout, proj))
    dh = way.keep_as("dh", 2 * positive * da)
    found = {
        "projected": way.product(activated, proj.T),
        "dinput": way.product(dh, fc),
        "dfc": way.product(dh.T, x),
        "dproj": way.product(dout.T, activated),
    }
    return {name: value.to(dtype) for name, value in found.items()}


def softcap_cross_entropy(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    logits, dloss = way.read(inputs["logits"]), way.read(gradients["dloss"])
    loss, dlogits = _softcap_cross_entropy(way, logits, inputs["targets"], dloss)
    return {"loss": loss.float(), "dlogits": dlogits.to(inputs["logits"].dtype)}


def linear_softcap_cross_entropy(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype, count = inputs["x"].dtype, parameters["vocab_size"]
    x, weight, dloss = way.read(inputs["x"]), way.read(inputs["weight"])[:count], way.read(gradients["dloss"])
    logits = way.keep_as("logits", way.product(x, weight.T))
    loss, dlogits = _softcap_cross_entropy(way, logits, inputs["targets"], dloss)
    dlogits = way.keep_as("dlogits", dlogits)
    dweight = torch.zeros_like(inputs["weight"])
    dweight[:count] = way.product(dlogits.T, x).to(dtype)
    return {"loss": loss.float(), "dx": way.product(dlogits, weight).to(dtype), "dweight": dweight}


def _softcap_cross_entropy(way: Arithmetic, logits: Tensor, targets: Tensor, dloss: Tensor) -> tuple[Tensor, Tensor]:
    tanh = way.function(torch.tanh(logits / CAP))
    capped = way.keep_as("capped", CAP * tanh)
    valid = (targets >= 0)[:, None]
    index = targets.clamp(min=0)[:, None]
    top = capped.amax(-1, keepdim=True)
    weights = way.function(torch.exp(capped - top))
    total = way.sum(weights)
    loss = top + way.function(total.log()) - capped.gather(1, index)
    hot = torch.zeros_like(weights).scatter_(1, index, 1.0)
    dlogits = dloss[:, None] * way.keep_as("stash", (way.keep_as("p", weights / total) - hot) * (1 - tanh * tanh))
    return loss.where(valid, 0.0)[:, 0], dlogits.where(valid, 0.0)


def adamw_step(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: None) -> Tensors:
    dtype = inputs["p"].dtype
    p, g, m, v = (way.read(inputs[name]) for name in ("p", "g", "m", "v"))
    names = ("lr", "beta1", "beta2", "eps", "weight_decay")
    lr, beta1, beta2, eps, decay = torch.tensor([parameters[n] for n in names], dtype=torch.float32).tolist()
    step = parameters["step"]
    m = way.keep_as("m", m + (1 - beta1) * (g - m))
    v = way.keep_as("v", v + (1 - beta2) * (g * g - v))
    root = way.function((v / (1 - beta2**step)).sqrt())
    p = p * (1 - lr * decay) - lr / (1 - beta1**step) * m / (root + eps)
    return {"p": p.to(dtype), "m": m.to(dtype), "v": v.to(dtype)}


def attention(way: Arithmetic, inputs: Tensors, parameters: dict, gradients: Tensors) -> Tensors:
    dtype = inputs["q"].dtype
    q, k, v = (way.read(inputs[name]) for name in "qkv")
    dout = way.read(gradients["dout"])
    B, T, H, _ = q.shape
    group = H // k.shape[2]
    age = torch.arange(T)[:, None] - torch.arange(T)[None, :]
    visible = (age >= 0) & (age <= parameters["window"])
    found = {name: torch.zeros_like(x) for name, x in (("out", q), ("dq", q), ("dk", k), ("dv", v))}
    for b in range(B):
        for h in range(H):
            shared = h // group
            head = _attend(way, q[b, :, h], k[b, :, shared], v[b, :, shared], dout[b, :, h], visible)
            for name, value in head.items():
                found[name][b, :, shared if name in ("dk", "dv") else h] += value
    return {name: value.to(dtype) for name, value in found.items()}


def _attend(way: Arithmetic, q: Tensor, k: Tensor, v: Tensor, dout: Tensor, visible: Tensor) -> Tensors:
    scale = 1 / sqrt(q.shape[-1])
    scores = way.keep_as("scores", way.product(q, k.T) * scale).masked_fill(~visible, float("-inf"))
    top = scores.amax(-1, keepdim=True)
    weights = way.function(torch.exp(scores - top))
    total = way.sum(weights)
    out = way.product(way.keep_as("P", weights), v) / total
    p = weights / total
    dv = way.product(way.keep_as("P", p).T, dout)
    delta = way.sum(dout * way.keep_as("out", out))
    ds = way.keep_as("dS", p * (way.product(dout, v.T) - delta) * scale)
    return {"out": out, "dq": way.product(ds, k), "dk": way.product(ds.T, q), "dv": dv}
