"""Binding: which implementation runs, and what is counted."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernelsearch.dispatch.bind import Binding, bind
from kernelsearch.dispatch.domain import compile_constraint
from kernelsearch.dispatch.store import Accepted, Store
from kernelsearch.errors import ContractError
from kernelsearch.spec import TargetFolder, library_path, target_names
from tests.dispatch.sample import DOMAIN, FOLDER, make_accepted

BASELINE = FOLDER.module("baseline").blend
Bind = Callable[..., Binding]


def arguments(n: int = 3, d: int = 8) -> tuple[Tensor, Tensor, Tensor, float]:
    generator = torch.Generator().manual_seed(7)
    x, y = torch.randn(n, d, generator=generator), torch.randn(n, d, generator=generator)
    return x, y, torch.arange(n), 2.0


def kernel_report(binding: Binding, entry: str = "blend") -> dict:
    return binding.report()["kernels"][entry]


def test_a_call_inside_the_domain_runs_the_kernel_and_is_counted(binding: Binding):
    x, y, index, scale = arguments()
    product, total = binding.ops["blend"](x, y, index, scale)
    assert torch.equal(product, (scale + index.float())[:, None] * x * y) and torch.equal(total, x + y)
    assert kernel_report(binding)["launches"] == {"forward": 1, "backward": 0}


def test_a_transposed_input_is_copied_and_runs_the_kernel(binding: Binding):
    x, y, index, scale = arguments(8, 8)
    product, _ = binding.ops["blend"](x.T, y, index, scale)
    assert torch.equal(product, (scale + index.float())[:, None] * x.T * y)
    assert kernel_report(binding)["fallbacks"] == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x, y, index: (x.repeat(22, 1), y.repeat(22, 1), index.repeat(22)), "axis N outside the verified 1..64"),
        (lambda x, y, index: (x[:, :6], y[:, :6], index), "axis D outside the verified 4..4096"),
        (lambda x, y, index: (x.double(), y, index), "x has another dtype"),
        (lambda x, y, index: (x, y[:1], index), "y has another shape"),
        (lambda x, y, index: (x[None], y, index), "x has another shape"),
        (lambda x, y, index: (x[:0], y[:0], index[:0]), "axis N outside the verified 1..64"),
        (lambda x, y, index: (x[0, :4].expand(20, 4), y[0, :4], index[:1]), "y has another shape"),
    ],
)
def test_a_call_outside_the_domain_is_the_baseline_bit_for_bit(binding: Binding, change: Callable, reason: str):
    x, y, index, scale = arguments()
    changed = change(x, y, index)
    expected = BASELINE(*changed, scale)
    assert all(map(torch.equal, binding.ops["blend"](*changed, scale), expected))
    assert kernel_report(binding)["fallbacks"] == {reason: 1}
    assert kernel_report(binding)["launches"]["forward"] == 0


def test_a_broken_constraint_falls_back(binding: Binding):
    x, y, index, scale = arguments(20, 4)
    binding.ops["blend"](x, y, index, scale)
    assert kernel_report(binding)["fallbacks"] == {"N <= 4 * D does not hold": 1}


def test_an_in_place_entry_changes_its_tensors_and_their_versions(binding: Binding):
    p, g, m = torch.ones(5), torch.ones(5), torch.zeros(5)
    versions = p._version, g._version, m._version
    binding.ops["nudge"](p, g, m, step=2, lr=0.25)
    assert torch.equal(p, torch.full((5,), 0.5)) and torch.equal(m, g)
    assert (p._version, g._version, m._version) == (versions[0] + 1, versions[1], versions[2] + 1)


def test_a_tensor_updated_in_place_must_be_contiguous(binding: Binding):
    p = torch.ones(10)
    binding.ops["nudge"](p[::2], torch.ones(5), torch.zeros(5), step=1, lr=0.5)
    assert torch.equal(p, torch.tensor([0.5, 1.0] * 5))
    assert kernel_report(binding, "nudge")["fallbacks"] == {"p is updated in place and not contiguous": 1}


def test_an_input_whose_gradient_the_kernel_lacks_falls_back(binding: Binding):
    p = torch.ones(5, requires_grad=True)
    binding.ops["nudge"](p, torch.ones(5), torch.zeros(5), step=1, lr=0.5)
    expected = {"p needs a gradient that the kernel does not have": 1}
    assert kernel_report(binding, "nudge")["fallbacks"] == expected


def test_without_a_kernel_the_baseline_is_reported(bind_blend: Bind):
    binding = bind_blend()
    assert binding.ops == {} and binding.report()["baseline"] == ["blend", "nudge"]


def test_an_entry_outside_the_verdict_runs_the_baseline(store: Store, bind_blend: Bind):
    accepted = make_accepted()
    verdict = type(accepted.verdict)(**{**vars(accepted.verdict), "domain": {"blend": DOMAIN["blend"]}})
    store.add(make_accepted(verdict=verdict))
    assert bind_blend().report()["reasons"] == {"nudge": "not in the verdict's domain"}


def test_another_fingerprint_is_admitted_once(store: Store, bind_blend: Bind):
    stale = store.add(make_accepted(fingerprint={"compiler": "g++ 4"}))
    asked: list[Accepted] = []
    binding = bind_blend(lambda accepted: asked.append(accepted) is None)
    assert asked == [stale] and sorted(binding.ops) == ["blend", "nudge"]


def test_another_contract_is_judged_again(store: Store, bind_blend: Bind):
    store.add(make_accepted(contract_digest="0" * 64))
    assert bind_blend(lambda accepted: False).ops == {}


def test_a_kernel_that_is_not_admitted_runs_the_baseline(store: Store, bind_blend: Bind):
    store.add(make_accepted(fingerprint={"compiler": "g++ 4"}))
    binding = bind_blend(lambda accepted: False)
    assert binding.ops == {}
    assert binding.report()["reasons"]["blend"] == "judged on another machine or contract, and not admitted here"


def test_a_kernel_that_does_not_compile_runs_the_baseline(store: Store, cache_dir: Path):
    store.add(make_accepted(dtype="bfloat16"))  # the sample multiplies scalars, which bfloat16_t is too plain for
    binding = bind([FOLDER], store, device="cpu", dtype="bfloat16", admit=lambda a: True, cache_dir=cache_dir)
    assert binding.ops == {}
    assert binding.report()["reasons"]["blend"].startswith("does not compile: kernel.cpp")


def test_the_process_has_one_openmp_runtime(binding: Binding):
    binding.ops["blend"](*arguments())
    lines = Path("/proc/self/maps").read_text().splitlines()
    assert len({line.split()[-1] for line in lines if "libgomp" in line or "libomp" in line}) == 1


def test_each_binding_counts_its_own_launches(binding: Binding, bind_blend: Bind):
    binding.ops["blend"](*arguments())
    later = bind_blend()
    later.ops["blend"](*arguments())
    assert kernel_report(later)["launches"]["forward"] == 1


def test_the_summary_is_one_line_with_launches_and_fallbacks(binding: Binding):
    binding.ops["blend"](*arguments())
    binding.ops["blend"](*arguments(20, 4))
    text = binding.summary()
    assert "1+0 launches, fell back 1 x N <= 4 * D does not hold" in text and "\n" not in text


def test_a_choice_between_sizes_is_a_constraint():
    holds = compile_constraint("S == (M if M >= N else N)")
    cases = [dict(zip("MNS", sizes, strict=True)) for sizes in ((3, 2, 3), (2, 3, 3), (3, 2, 2))]
    assert [bool(holds(sizes)) for sizes in cases] == [True, True, False]


def test_every_constraint_of_the_library_can_guard_calls():
    folders = [TargetFolder(library_path() / name) for name in target_names(library_path())]
    assert [compile_constraint(text) for folder in folders for text in folder.target.constraints]


def test_constraints_know_integer_arithmetic():
    holds = compile_constraint("H % K == 0 and not T - 2 * K > -1")
    assert holds({"H": 8, "K": 4, "T": 7}) and not holds({"H": 8, "K": 3, "T": 1})


@pytest.mark.parametrize("text", ["__import__('os')", "H.bit_length()", "H < K < T", "H == 1.5", "H =="])
def test_a_constraint_is_not_a_program(text: str):
    with pytest.raises(ContractError, match="constraint="):
        compile_constraint(text)
