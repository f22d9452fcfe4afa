"""The rule is tight: on the ladder's own inputs honest orders live, and the mildest loss of precision dies.

Per entry, result and way of computing: the share of its limit that an emulation in torch reaches, the larger of mean
and maximum (`python -m tests.verify.test_tightness` prints the table of docs/numerics.md).
"""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from kernelsearch.spec import TargetFolder, library_path
from kernelsearch.verify.case import Case, make_case, regimes
from kernelsearch.verify.compare import RULE, Answer, find_difference, scaled_errors
from kernelsearch.verify.oracle import find_answers
from tests.verify import emulation
from tests.verify.arithmetic import HONEST, LOWER, Arithmetic, to_bfloat16

TARGETS = {
    "attention": "attention",
    "rms_norm": "mix_norm",
    "mix_norm": "mix_norm",
    "rope_qknorm": "rope_qknorm",
    "linear": "linear",
    "relu2": "relu2",
    "relu2_mlp": "relu2_mlp",
    "softcap_cross_entropy": "softcap_cross_entropy",
    "linear_softcap_cross_entropy": "linear_softcap_cross_entropy",
    "adamw_step": "adamw_step",
    "backout_norm": "backout_norm",
    "smear_embed": "smear_embed",
    "value_mix": "value_mix",
}
# What each policy lets a bfloat16 kernel round on the way.
STORED = {
    "attention": ("P", "dS", "out"),
    "rms_norm": ("y",),
    "mix_norm": ("mixed", "y"),
    "rope_qknorm": ("out",),
    "linear": (),
    "relu2": (),
    "relu2_mlp": ("h", "a", "da", "dh"),
    "softcap_cross_entropy": ("stash",),
    "linear_softcap_cross_entropy": ("dlogits",),
    "adamw_step": (),
    "backout_norm": (),
    "smear_embed": (),
    "value_mix": (),
}
# Serial sums are loops in Python: attention is emulated up to this length.
MAXIMUM_LENGTH = 65
# Results and whole entries that a way leaves alone: sums of two terms, and what comes before the function.
SPARED = {
    "fp16 accumulator": {"mixed", "p", "m", "v", "activated", "dh"},
    "bf16 accumulator": {"mixed", "p", "m", "v", "activated", "dh"},
    "12-bit functions": {"mixed", "m", "v", "activated", "dh", "projected", "dinput", "dfc", "dproj", "linear"},
}
FORBIDDEN_IN_BFLOAT16 = (
    ("attention", "bf16 accumulator", ("out", "dq", "dk", "dv")),
    ("attention", "fp16 accumulator", ("out", "dq", "dk", "dv")),
    ("attention", "scores", ("out", "dk", "dv")),
    ("rms_norm", "bf16 accumulator", ("y", "dx")),
    ("rms_norm", "fp16 accumulator", ("y", "dx")),
    ("rms_norm", "functions", ("y", "dx")),
    ("mix_norm", "bf16 accumulator", ("normed", "dx", "dx0", "dresid", "dskip")),
    ("mix_norm", "fp16 accumulator", ("normed", "dx", "dx0", "dresid", "dskip")),
    ("mix_norm", "products", ("mixed", "normed")),
    ("mix_norm", "functions", ("dx", "dx0")),
    ("rope_qknorm", "bf16 accumulator", ("q_out", "k_out", "dq", "dk")),
    ("rope_qknorm", "fp16 accumulator", ("q_out", "k_out", "dq", "dk")),
    ("rope_qknorm", "functions", ("q_out", "k_out", "dq", "dk")),
    ("rope_qknorm", "turned", ("q_out", "k_out")),
    ("linear", "bf16 accumulator", ("y", "dx", "dweight")),
    ("linear", "fp16 accumulator", ("y", "dx", "dweight")),
    ("relu2_mlp", "bf16 accumulator", ("projected", "dinput", "dfc", "dproj")),
    ("relu2_mlp", "fp16 accumulator", ("projected", "dinput", "dfc", "dproj")),
    ("softcap_cross_entropy", "bf16 accumulator", ("loss", "dlogits")),
    ("softcap_cross_entropy", "fp16 accumulator", ("loss", "dlogits")),
    ("softcap_cross_entropy", "capped", ("loss", "dlogits")),
    ("softcap_cross_entropy", "p", ("dlogits",)),
    ("softcap_cross_entropy", "12-bit functions", ("loss", "dlogits")),
    ("linear_softcap_cross_entropy", "bf16 accumulator", ("loss", "dx", "dweight")),
    ("linear_softcap_cross_entropy", "fp16 accumulator", ("loss", "dx", "dweight")),
    ("linear_softcap_cross_entropy", "logits", ("loss", "dx", "dweight")),
    ("linear_softcap_cross_entropy", "capped", ("loss", "dx", "dweight")),
    ("linear_softcap_cross_entropy", "12-bit functions", ("loss", "dweight")),
    ("adamw_step", "m", ("p",)),
    ("adamw_step", "v", ("p",)),
    ("adamw_step", "functions", ("p",)),
    ("backout_norm", "bf16 accumulator", ("normed", "dx", "dx_back", "dbackout")),
    ("backout_norm", "fp16 accumulator", ("normed", "dx", "dx_back", "dbackout")),
    ("backout_norm", "product", ("normed", "dx", "dx_back")),
    ("backout_norm", "functions", ("normed", "dx", "dx_back")),
    ("smear_embed", "bf16 accumulator", ("out", "drows", "dgate_weight", "dsmear")),
    ("smear_embed", "fp16 accumulator", ("out", "drows", "dgate_weight", "dsmear")),
    ("smear_embed", "normed", ("out", "drows")),
    ("smear_embed", "gate", ("out",)),
    ("value_mix", "bf16 accumulator", ("dgate_input", "dgate_weight", "dtable")),
    ("value_mix", "fp16 accumulator", ("dgate_input", "dgate_weight", "dtable")),
    ("value_mix", "gate", ("mixed", "dtable")),
)


@cache
def folder(entry: str) -> TargetFolder:
    return TargetFolder(library_path() / TARGETS[entry])


@cache
def ladder(entry: str, dtype: str, seed: int) -> list[tuple[Case, dict[str, Answer]]]:
    """Edge shapes on benign values, each regime on two of them: much as the judge draws, less the largest."""
    rng = np.random.default_rng(seed)
    edges = [w for w in folder(entry).edges(dtype) if w.entry == entry and w.sizes.get("T", 0) <= MAXIMUM_LENGTH]
    drawn = [(w, "normal") for w in edges]
    drawn += [(edges[i], r) for r in regimes(folder(entry)) for i in rng.choice(len(edges), 2, replace=False)]
    cases = [make_case(folder(entry), workload, regime, rng) for workload, regime in drawn]
    return [(case, find_answers(folder(entry), case)) for case in cases]


def shares(entry: str, dtype: str, way: Arithmetic, seed: int) -> dict[str, float]:
    """By result: the largest share of its limit in the ladder; above 1 is refused."""
    found: dict[str, float] = {}
    for case, answers in ladder(entry, dtype, seed):
        results = getattr(emulation, entry)(way, dict(case.inputs), case.workload.parameters, case.output_gradients)
        for name, answer in answers.items():
            errors = scaled_errors(results[name], answer)
            lean = errors.bias / errors.allowed_bias if answer.is_benign and errors.allowed_bias else 0.0
            share = max(errors.rms / errors.allowed_rms, errors.largest / RULE.largest, lean)
            found[name] = max(found.get(name, 0.0), share)
    return found


def lower(name: str) -> Arithmetic:
    if name == "functions":
        return Arithmetic(function=to_bfloat16)
    return LOWER[name] if name in LOWER else Arithmetic(store=to_bfloat16, stored=(name,))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", HONEST)
@pytest.mark.parametrize("entry", TARGETS)
def test_an_honest_order_in_float32_lives(entry, way, seed):
    assert max(shares(entry, "float32", HONEST[way], seed).values()) <= 1


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", HONEST)
@pytest.mark.parametrize("entry", TARGETS)
def test_an_honest_order_in_bfloat16_lives_with_all_that_the_policy_lets_it_store(entry, way, seed):
    stored = replace(HONEST[way], store=to_bfloat16, stored=STORED[entry])
    assert max(shares(entry, "bfloat16", stored, seed).values()) <= 1


@pytest.mark.parametrize("way", LOWER)
@pytest.mark.parametrize("entry", TARGETS)
def test_lower_precision_in_float32_dies_in_every_result_that_it_touches(entry, way):
    found = shares(entry, "float32", LOWER[way], seed=0)
    touched = {name: share for name, share in found.items() if not {entry, name} & SPARED.get(way, set())}
    assert min(touched.values(), default=np.inf) > 3


@pytest.mark.parametrize(("entry", "way", "results"), FORBIDDEN_IN_BFLOAT16)
def test_what_the_bfloat16_policy_does_not_name_dies(entry, way, results):
    found = [shares(entry, "bfloat16", lower(way), seed) for seed in (0, 1, 2)]
    assert min(max(share[name] for share in found) for name in results) > 1


@pytest.mark.parametrize("entry", TARGETS)
def test_results_a_thousandth_too_large_are_refused_in_bfloat16(entry):
    """A quarter of bfloat16's unit, far below what single roundings do, but all one way."""
    refused = set()
    for _, answers in ladder(entry, "bfloat16", 0):
        for name, answer in answers.items():
            refused |= {name} if find_difference((1.001 * answer.exact).to(answer.dtype), answer) else set()
    assert refused >= set(answers) - {"dresid", "dskip", "dbackout", "dsmear"}


def main() -> None:
    """Prints, per entry and result, the largest share of an honest order and the smallest of a lower precision."""
    for dtype in ("float32", "bfloat16"):
        sys.stdout.write(f"\n{dtype}\n| entry | result | honest | mildest loss |\n|---|---|---|---|\n")
        for entry in TARGETS:
            honest, loss = _margins(entry, dtype)
            for name in honest:
                mildest = min(((share, way) for way, share in loss.get(name, {}).items()), default=None)
                text = "none applies" if mildest is None else f"{mildest[0]:.3g} ({mildest[1]})"
                sys.stdout.write(f"| {entry} | {name} | {honest[name]:.2f} | {text} |\n")


def _margins(entry: str, dtype: str) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    stored = STORED[entry] if dtype == "bfloat16" else ()
    ways = [replace(way, store=to_bfloat16, stored=stored) for way in HONEST.values()]
    every = [shares(entry, dtype, way, seed=0) for way in ways]
    honest = {name: max(found[name] for found in every) for name in every[0]}
    named = {way: set(honest) - SPARED.get(way, set()) for way in LOWER if entry not in SPARED.get(way, set())}
    if dtype == "bfloat16":
        named = {way: set(results) for of, way, results in FORBIDDEN_IN_BFLOAT16 if of == entry}
    loss: dict[str, dict[str, float]] = {}
    for way, results in named.items():
        found = shares(entry, dtype, lower(way), seed=0)
        for name in results:
            loss.setdefault(name, {})[way] = found[name]
    return honest, loss


if __name__ == "__main__":
    main()
