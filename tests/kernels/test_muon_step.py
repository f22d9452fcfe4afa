"""muon_step's oracle is tight: honest orders of the step live, and each of the likely mistakes dies."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from kernelsearch.spec import TargetFolder, library_path
from kernelsearch.verify.case import make_case, regimes
from kernelsearch.verify.compare import find_difference
from kernelsearch.verify.oracle import find_answers
from tests.verify.arithmetic import keep, to_bfloat16, to_half, to_tf32

FOLDER = TargetFolder(library_path() / "muon_step")
POLAR_EXPRESS = FOLDER.module("baseline").POLAR_EXPRESS


@dataclass(frozen=True)
class Way:
    """How the step is computed; the defaults are right. `restarts` of None is the plain iteration, else Gram's."""

    narrow: object = keep
    coefficients: tuple[tuple[float, float, float], ...] = POLAR_EXPRESS
    restarts: tuple[int, ...] | None = None
    norm_factor: float = 1.01
    norm_epsilon: float = 1e-6
    least_row_norm: float = 1e-6
    least_second: float = 1e-10
    least_norm: float = 1e-10
    is_equilibrated: bool = True
    is_restored: bool = True
    is_nesterov: bool = True
    is_axis_swapped: bool = False
    decays: object = torch.Tensor.__ge__


HONEST = {
    "plain": Way(),
    "gram restarted twice": Way(restarts=(1, 3)),
    "gram restarted always": Way(restarts=(1, 2, 3, 4)),
}
WRONG = {
    "bfloat16 products": Way(narrow=to_bfloat16),
    "float16 products": Way(narrow=to_half),
    "tf32 products": Way(narrow=to_tf32),
    "four iterations": Way(coefficients=POLAR_EXPRESS[:4]),
    "six iterations": Way(coefficients=(*POLAR_EXPRESS, POLAR_EXPRESS[-1])),
    "coefficients of three digits": Way(coefficients=tuple(tuple(round(x, 3) for x in c) for c in POLAR_EXPRESS)),
    "swapped iterations": Way(coefficients=(*POLAR_EXPRESS[:3], POLAR_EXPRESS[4], POLAR_EXPRESS[3])),
    "gram never restarted": Way(restarts=()),
    "another factor of the norm": Way(norm_factor=1.0),
    "no epsilon at the norm": Way(norm_epsilon=0.0),
    "no least row norm": Way(least_row_norm=0.0),
    "no least second moment": Way(least_second=0.0),
    "another least second moment": Way(least_second=1e-12),
    "no least norm": Way(least_norm=0.0),
    "rows not equilibrated": Way(is_equilibrated=False),
    "norm not restored": Way(is_restored=False),
    "momentum without Nesterov": Way(is_nesterov=False),
    "variance along the other axis": Way(is_axis_swapped=True),
    "decay everywhere": Way(decays=lambda product, zero: torch.ones_like(product)),
    "decay where signs differ": Way(decays=torch.Tensor.__le__),
    "no decay at zero": Way(decays=torch.Tensor.__gt__),
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def step(way: Way, inputs: dict[str, Tensor], parameters: dict[str, float]) -> dict[str, Tensor]:
    p, g, m, s = (inputs[n] for n in ("params", "grads", "momentum_buffer", "second_moment"))
    rates = torch.tensor([parameters[n] for n in ("lr", "momentum", "beta2", "weight_decay")])
    lr, momentum, beta2, decay = rates.tolist()
    m = m.lerp(g, 1 - momentum)
    u = g.lerp(m, momentum) if way.is_nesterov else m
    if way.is_equilibrated:
        u = u * (norm(u) / u.size(-2) ** 0.5 / u.norm(dim=-1, keepdim=True).clamp_min(way.least_row_norm))
    x = polar_factor(way, u)
    if way.is_restored:
        x = x * (min(x.shape[-2:]) ** 0.5 / norm(x).clamp_min(1e-6))
    axis = -1 if x.size(-2) >= x.size(-1) else -2
    mean_square = x.square().mean(dim=axis, keepdim=True)
    if way.is_axis_swapped and x.size(-2) == x.size(-1):
        mean_square = x.square().mean(dim=-2, keepdim=True).mT
    second = s.view_as(mean_square).lerp(mean_square, 1 - beta2)
    z = x * second.clamp_min(way.least_second).rsqrt()
    z = z * (norm(x) / norm(z).clamp_min(way.least_norm))
    p = p - lr * z - lr * decay * p * way.decays(z * p, torch.zeros(()))
    return {"params": p, "momentum_buffer": m, "second_moment": second.flatten(1)}


def polar_factor(way: Way, x: Tensor) -> Tensor:
    x = x / (norm(x) * way.norm_factor + way.norm_epsilon)
    is_tall = x.size(-2) > x.size(-1)
    x = x.mT if is_tall else x
    aspect = x.size(-1) / x.size(-2)
    restarts = way.restarts if way.restarts is not None and aspect >= 2 else range(len(way.coefficients))
    gram, factor = product(way, x, x.mT), torch.eye(x.size(-2)).expand(len(x), -1, -1)
    for t, (a, b, c) in enumerate(way.coefficients):
        if t and t in restarts:
            x, factor = product(way, factor, x), torch.eye(x.size(-2)).expand(len(x), -1, -1)
            gram = product(way, x, x.mT)
        z = a * torch.eye(x.size(-2)) + b * gram + c * product(way, gram, gram)
        factor, gram = product(way, factor, z), product(way, z, product(way, gram, z))
    x = product(way, factor, x)
    return x.mT if is_tall else x


def product(way: Way, a: Tensor, b: Tensor) -> Tensor:
    return way.narrow(a) @ way.narrow(b)


def norm(x: Tensor) -> Tensor:
    return x.norm(dim=(-2, -1), keepdim=True)


@cache
def ladder():
    """Edge shapes on benign values, each regime on three of the large ones."""
    rng = np.random.default_rng(0)
    edges = FOLDER.edges("float32")
    drawn = [(w, "normal") for w in edges]
    drawn += [(w, r) for r in regimes(FOLDER) for w in (edges[9], edges[15], edges[13])]
    cases = [make_case(FOLDER, w, r, rng) for w, r in drawn]
    return [(case, find_answers(FOLDER, case)) for case in cases]


def differences(way: Way) -> int:
    found = 0
    for case, answers in ladder():
        results = step(way, dict(case.inputs), dict(case.workload.parameters))
        found += any(find_difference(results[name], answer) is not None for name, answer in answers.items())
    return found


@pytest.mark.parametrize("way", HONEST)
def test_an_honest_order_lives(way):
    assert differences(HONEST[way]) == 0


@pytest.mark.parametrize("way", WRONG)
def test_a_mistake_dies(way):
    assert differences(WRONG[way]) > 0
