"""Shadow mode: what it checks, what it drops, what it costs."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kernelsearch.dispatch.bind import Binding, bind
from kernelsearch.dispatch.guards import STOPPED
from kernelsearch.dispatch.shadow import Shadow, find_breach, load_breach
from kernelsearch.dispatch.store import Accepted, Store
from kernelsearch.errors import CorruptState
from kernelsearch.spec import Candidate, Status, Verdict
from tests.dispatch.sample import DOMAIN, FOLDER, make_accepted

Watch = Callable[..., tuple[Binding, list[str]]]
INDEX = torch.arange(3)
# Each makes another kernel of a right one: a gradient without one of its terms, a state that is not updated.
WRONG_GRADIENT = ("dx[d] = factor[n] * y[d] * dproduct[d] + dtotal[d]", "dx[d] = factor[n] * y[d] * dproduct[d]")
WRONG_STATE = ("m[i] += g[i]", "m[i] += i + 1 < L ? g[i] : 0")


def broken(old: str, new: str) -> Accepted:
    right = make_accepted().candidate
    candidate = Candidate(right.target, right.language, right.source.replace(old, new), right.tunables, right.origin)
    verdict = Verdict(
        "blend", candidate.digest, "cpp", "float32", Status.PASSED, "", 1.0,
        accepted=True, speedup=2.0, low=1.5, high=2.5, equivalence="scaled", domain=DOMAIN,
    )  # fmt: skip
    accepted = make_accepted()
    return Accepted(**{**vars(accepted), "candidate": candidate, "verdict": verdict})


@pytest.fixture
def watch(store: Store, cache_dir: Path, tmp_path: Path) -> Watch:
    """Bind one kernel with every call checked; the second value is what was said."""

    def run(accepted: Accepted | None = None, *, rate: float = 1.0) -> tuple[Binding, list[str]]:
        store.add(accepted or make_accepted())
        said: list[str] = []
        shadow = Shadow(rate, tmp_path / "breaches", budget=1e9, say=said.append)
        made = bind(
            [FOLDER], store, device="cpu", dtype="float32", admit=lambda a: False, cache_dir=cache_dir, shadow=shadow
        )
        return made, said

    return run


def differentiate(binding: Binding, scale: float = 2.0) -> torch.Tensor:
    """The product, after a backward through it and the total."""
    generator = torch.Generator().manual_seed(7)
    x, y = (torch.randn(3, 8, generator=generator).requires_grad_() for _ in range(2))
    product, total = binding.ops["blend"](x, y, INDEX, scale)
    (product.sum() + (total * x.detach()).sum()).backward()
    return product.detach()


def nudge(binding: Binding) -> torch.Tensor:
    state = torch.zeros(40)
    binding.ops["nudge"](torch.ones(40), torch.ones(40), state, step=1, lr=0.5)
    return state


def report(binding: Binding, entry: str) -> dict:
    return binding.report()["kernels"][entry]


def test_a_right_kernel_is_checked_and_keeps_running(watch: Watch):
    binding, said = watch()
    differentiate(binding)
    nudge(binding)
    assert [report(binding, entry)["shadow"]["checks"] for entry in ("blend", "nudge")] == [1, 1]
    assert [bound.watched.breach for bound in binding.bound] == [None, None] and said == []


def test_a_call_with_leading_axes_is_checked_in_the_contracts(watch: Watch):
    binding, said = watch()
    x = torch.ones(3, 1, 8, requires_grad=True)
    binding.ops["blend"](x, x, INDEX, 2.0)[0].sum().backward()
    assert report(binding, "blend")["shadow"]["checks"] == 1 and said == []


def test_a_wrong_gradient_is_seen_and_the_baseline_runs_from_then_on(watch: Watch):
    binding, said = watch(broken(*WRONG_GRADIENT))
    first, second = differentiate(binding), differentiate(binding)
    assert torch.allclose(second, first + 1)  # the baseline is off by one on purpose
    assert report(binding, "blend")["fallbacks"] == {STOPPED: 1}
    assert report(binding, "blend")["shadow"]["breach"]["result"] == "dx" and "WRONG on live values: dx" in said[0]


def test_a_wrong_update_in_place_is_seen(watch: Watch):
    # Rows are a random quarter of the forty elements; the wrong one is the last, so some checks miss it.
    binding, said = watch(broken(*WRONG_STATE))
    states = [nudge(binding)[-1].item() for _ in range(60)]
    assert states[0] == 0 and states[-1] == 1 and len(said) == 1


def test_the_tensors_of_a_breach_show_it_again(watch: Watch, tmp_path: Path):
    differentiate(watch(broken(*WRONG_GRADIENT))[0], scale=3.5)
    (file,) = (tmp_path / "breaches").iterdir()
    case, got = load_breach(file)
    found = find_breach(FOLDER, case, got)
    assert case.workload.parameters == {"scale": 3.5} and found is not None and found[0] == "dx"


def test_a_file_that_holds_no_breach_is_refused(tmp_path: Path):
    torch.save({"entry": "blend"}, tmp_path / "a.pt")
    with pytest.raises(CorruptState, match=r"a\.pt"):
        load_breach(tmp_path / "a.pt")


def test_values_that_are_not_finite_accuse_nobody(watch: Watch):
    binding, _ = watch()
    differentiate(binding, scale=float("inf"))
    x = torch.full((3, 8), float("nan"), requires_grad=True)
    binding.ops["blend"](x, x, INDEX, 2.0)[0].sum().backward()
    assert report(binding, "blend")["shadow"]["breach"] is None
    assert report(binding, "blend")["shadow"]["unusable"] >= 1


@pytest.mark.parametrize(("elapsed_s", "is_due"), [(4.9, False), (5.1, True)])
def test_a_check_waits_until_its_cost_is_within_the_budget(elapsed_s: float, is_due: bool):
    times = iter([0.0, elapsed_s])
    shadow = Shadow(1.0, Path(), budget=0.02, clock=lambda: next(times))
    watched = shadow.watch(FOLDER, FOLDER.target.entry("nudge"), 0, make_accepted())
    shadow.is_due(watched)
    watched.checks, watched.spent_s, watched.cost_s = 1, 0.05, 0.05
    assert shadow.is_due(watched) is is_due


def test_a_rate_of_a_half_checks_about_half_of_the_calls(watch: Watch):
    binding, _ = watch(rate=0.5)
    for _ in range(200):
        nudge(binding)
    assert 60 <= report(binding, "nudge")["shadow"]["checks"] <= 140


def test_nobodys_random_numbers_move(watch: Watch):
    binding, _ = watch()
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    differentiate(binding)
    nudge(binding)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (str(np.random.get_state()), random.getstate())


def test_a_compiled_call_is_checked_and_dropped_as_well(watch: Watch):
    binding, said = watch(broken(*WRONG_GRADIENT))
    x, y = (torch.ones(3, 8, requires_grad=True) for _ in range(2))
    compiled = torch.compile(lambda: sum(binding.ops["blend"](x, y, INDEX, 2.0)), backend="aot_eager")
    first = compiled()
    first.sum().backward()
    assert len(said) == 1
    assert torch.equal(compiled(), first + 1)


def test_a_binding_without_shadow_is_not_watched(watch: Watch, bind_blend: Callable[..., Binding]):
    watched, _ = watch()
    plain = bind_blend()
    differentiate(plain)
    assert report(watched, "blend")["shadow"]["checks"] == 0 and "shadow" not in report(plain, "blend")
