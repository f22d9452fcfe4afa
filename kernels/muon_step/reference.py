"""Float64 oracle of the Muon step and its condition magnitudes.

Five polynomials of degree five amplify what rounding puts into them, up to a thousandfold in the directions of small
singular values, so the magnitudes of the polar factor are measured instead of derived: the same float64 iteration runs
again with a random perturbation of every intermediate, of the size that one rounding of each partial sum would have
(Monte Carlo arithmetic: Parker, "Monte Carlo Arithmetic", 1997), and the magnitude is the root mean square of what
comes out over what was put in, evened out over rows and columns. Everything after it is propagated by hand.
Axes: K matrices, M rows, N columns, S = max(M, N), I short side.
"""

from collections.abc import Callable

import torch
from torch import Tensor

POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
PERTURBATION = 2.0**-22
SAMPLES, SAMPLES_OF_SMALL, SMALL_ELEMENTS = 3, 12, 1024
ELEMENTWISE = 24  # operations on an element's way outside products and norms

# Rows along this axis do not depend on each other: the judge may compare any of them.
muon_step_ROW_AXIS = "K"  # noqa: N816

Perturb = Callable[[Tensor, Tensor], Tensor]


def muon_step(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    lr, momentum, beta2, decay = _rounded(parameters)
    buffer, x = _polar_factor(inputs, momentum, lambda value, magnitude: value)
    second, update = _even_out(x, inputs["second_moment"], beta2)
    agrees = update * inputs["params"] >= 0
    params = inputs["params"] - lr * update - lr * decay * inputs["params"] * agrees
    return {"params": params, "momentum_buffer": buffer, "second_moment": second}


def _rounded(parameters: dict) -> list[float]:
    names = ("lr", "momentum", "beta2", "weight_decay")
    return torch.tensor([parameters[name] for name in names], dtype=torch.float32).tolist()


def _polar_factor(inputs: dict[str, Tensor], momentum: float, perturb: Perturb) -> tuple[Tensor, Tensor]:
    """(m', x): x the polar factor with its norm restored; perturb(value, magnitude) stands for every rounding."""
    g, m = inputs["grads"], inputs["momentum_buffer"]
    m = perturb(m + (1 - momentum) * (g - m), m.abs() + (1 - momentum) * (g.abs() + m.abs()))
    u = perturb(g + momentum * (m - g), g.abs() + momentum * (m.abs() + g.abs()))
    row_norm = perturb(*_twice(u.norm(dim=-1, keepdim=True))).clamp_min(1e-6)
    x = perturb(*_twice(u * (_norm(u) / u.size(-2) ** 0.5 / row_norm)))
    x = perturb(*_twice(x / (perturb(*_twice(_norm(x))) * 1.01 + 1e-6)))
    is_tall = x.size(-2) > x.size(-1)
    x = x.mT if is_tall else x
    for a, b, c in POLAR_EXPRESS:
        gram = perturb(*_product(x, x.mT))
        square, size = _product(gram, gram)
        polynomial = perturb(b * gram + c * square, (b * gram).abs() + abs(c) * size)
        product, size = _product(polynomial, x)
        x = perturb(a * x + product, (a * x).abs() + size)
    x = perturb(*_twice(x * (x.size(-2) ** 0.5 / perturb(*_twice(_norm(x))).clamp_min(1e-6))))
    return m, x.mT if is_tall else x


def _norm(x: Tensor) -> Tensor:
    return x.norm(dim=(-2, -1), keepdim=True)


def _twice(value: Tensor) -> tuple[Tensor, Tensor]:
    return value, value.abs()


def _product(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The product, and how large its partial sums are: as a walk of signs that are random, or as the sum itself."""
    value = x @ y
    return value, (x.square() @ y.square()).sqrt() + value.abs()


def _even_out(x: Tensor, second: Tensor, beta2: float) -> tuple[Tensor, Tensor]:
    """(s', u)."""
    axis = _axis(x)
    mean_square = x.square().mean(dim=axis, keepdim=True)
    second = second.view_as(mean_square)
    second = second + (1 - beta2) * (mean_square - second)
    z = x * second.clamp_min(1e-10).rsqrt()
    return second.flatten(1), z * (_norm(x) / _norm(z).clamp_min(1e-10))


def _axis(x: Tensor) -> int:
    return -1 if x.size(-2) >= x.size(-1) else -2


def muon_step_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: None
) -> dict[str, Tensor]:
    """Where an error of u could flip the sign of u p, a result with and one without the decay are both right."""
    lr, momentum, beta2, decay = _rounded(parameters)
    g, m, p = inputs["grads"].abs(), inputs["momentum_buffer"].abs(), inputs["params"]
    x, c_x = _measure_polar_factor(inputs, momentum)
    axis = _axis(x)
    mean_square = x.square().mean(dim=axis, keepdim=True)
    old = inputs["second_moment"].view_as(mean_square)
    spread = (mean_square * c_x.square().mean(dim=axis, keepdim=True)).sqrt()
    c_second = beta2 * old.abs() + (1 - beta2) * (2 * mean_square + old.abs() + 2 * spread)
    second, update = _even_out(x, inputs["second_moment"], beta2)
    kept = second.view_as(mean_square).clamp_min(1e-10)
    relative = 2 + c_second / kept
    scale = kept.rsqrt() * (_norm(x) / _norm(x * kept.rsqrt()).clamp_min(1e-10))
    common = _norm(update * relative) / _norm(update).clamp_min(1e-30)
    c_update = c_x * scale + update.abs() * (relative + common)
    sizes = dict(zip("KMN", p.shape, strict=True))
    error = (1 + 0.75 * muon_step_terms(sizes, parameters)["params"] ** 0.5) * 2.0**-24
    either = (update.abs() < 3 * error * c_update) & (update != 0)
    c_params = p.abs() * (2 + 2 * lr * decay) + lr * c_update + either * (lr * decay * p.abs() / error)
    return {
        "params": c_params,
        "momentum_buffer": m + (1 - momentum) * (g + m),
        "second_moment": c_second.flatten(1),
    }


def _measure_polar_factor(inputs: dict[str, Tensor], momentum: float) -> tuple[Tensor, Tensor]:
    """(x, its condition magnitude)."""
    sizes: list[Tensor] = []

    def note(value: Tensor, magnitude: Tensor) -> Tensor:
        sizes.append(magnitude)
        return value

    _, x = _polar_factor(inputs, momentum, note)
    samples = SAMPLES_OF_SMALL if x[0].numel() <= SMALL_ELEMENTS else SAMPLES
    _, found = _polar_factor(inputs, momentum, _noise(sizes, samples))
    square = (found - x).square().mean(dim=0) / PERTURBATION**2
    rows, columns = square.mean(dim=-1, keepdim=True), square.mean(dim=-2, keepdim=True)
    return x, (rows * columns / square.mean(dim=(-2, -1), keepdim=True).clamp_min(1e-300)).sqrt()


def _noise(sizes: list[Tensor], samples: int) -> Perturb:
    """Adds noise of the noted sizes, one after the other, in as many samples along a new first axis.

    The same for every matrix of the stack: what one of them is does not reach the magnitudes of another.
    """
    known, generator = iter(sizes), torch.Generator().manual_seed(0)

    def perturb(value: Tensor, magnitude: Tensor) -> Tensor:
        noise = torch.randn(samples, 1, *value.shape[-2:], generator=generator, dtype=value.dtype)
        return value + PERTURBATION * noise * next(known)

    return perturb


def muon_step_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """Three products in each of five iterations, three norms, and some operations on single elements."""
    short, long = sorted((sizes["M"], sizes["N"]))
    iterations = len(POLAR_EXPRESS) * (long + 2 * short)
    n = iterations + 3 * long + ELEMENTWISE
    return {"params": n, "momentum_buffer": ELEMENTWISE, "second_moment": n}
