"""Patches on the stand-in of upstream: what they leave as it was, what they refuse, how they go away."""

import importlib
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import kernelsearch
from kernelsearch.dispatch.fingerprint import admission_place
from kernelsearch.dispatch.store import Store
from kernelsearch.dispatch.upstream.apply import Choice, admissions, bind_entries, choose_by_dtype, make_patches
from kernelsearch.dispatch.upstream.hook import PostImport
from kernelsearch.dispatch.upstream.install import Patches
from kernelsearch.dispatch.upstream.names import WATCHED
from kernelsearch.dispatch.upstream.source import symbol_digest
from kernelsearch.dispatch.upstream.stock import OPTIONAL
from kernelsearch.dispatch.upstream.table import PATCHES, SOURCES, STOCK
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger
from kernelsearch.spec import TargetFolder
from tests.dispatch.sample import make_accepted

FOLDER = Path(__file__).parent / "upstream"
Upstream = SimpleNamespace


def standin_digests() -> dict[str, str]:
    """What somebody who has read the stand-in vouches for."""
    files = {module: (FOLDER / "nanochat" / f"{module}.py").read_text() for module in WATCHED}
    found = {symbol: symbol_digest(files[symbol.split(":")[0]], symbol.split(":")[1]) for symbol in SOURCES}
    return {symbol: digest for symbol, digest in found.items() if digest is not None}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The stand-in's modules, freshly imported as `nanochat`; this project's own package of that name is put back."""
    own = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ("nanochat", "tasks")}
    for name in own:
        del sys.modules[name]
    sys.path.insert(0, str(FOLDER))
    try:
        names = {name: importlib.import_module(f"nanochat.{name}") for name in WATCHED}
        yield Upstream(**names, train=importlib.import_module("tasks.train"))
    finally:
        sys.path.remove(str(FOLDER))
        for name in [name for name in sys.modules if name.split(".")[0] in ("nanochat", "tasks")]:
            del sys.modules[name]
        sys.modules.update(own)


def identity(trusted: dict[str, str] | None = None) -> Patches:
    choice = Choice(FOLDER, FOLDER, lambda accepted: False)
    patches = make_patches(choice, "nanochat", is_identity=True, trusted=trusted or standin_digests())
    patches.say = lambda text: None
    patches.install_loaded()
    return patches


def with_calls(**calls: Callable[..., Any]) -> Patches:
    """Patches over made-up kernels."""
    patches = Patches(lambda stock: ({e: c for e, c in calls.items() if e in stock}, ()), trusted=standin_digests())
    patches.install_loaded()
    return patches


def make_model(upstream: Upstream) -> Any:
    torch.manual_seed(1)
    return upstream.gpt.GPT(upstream.train.CONFIG)


def train(upstream: Upstream) -> list[torch.Tensor]:
    """Three losses and then every weight."""
    model = make_model(upstream)
    optimizer = upstream.optim.Optimizer(model)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for _ in range(3):
        tokens = torch.randint(0, 100, (2, 33), generator=generator)
        loss = model(tokens[:, :-1], tokens[:, 1:].contiguous())
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses + [p.detach() for p in model.parameters()]


def all_equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_identity_patches_leave_every_loss_and_weight_bit_for_bit(upstream: Upstream):
    before = train(upstream)
    identity()
    assert all_equal(before, train(upstream))


def test_identity_runs_every_patch_and_every_entry_that_has_one(upstream: Upstream):
    patches = identity()
    train(upstream)
    entries = {entry for patch in PATCHES for entry in patch.entries} - set(OPTIONAL)
    assert set(patches.report()["original_calls"]) == entries
    assert set(patches.report()["patched"]) == {patch.name for patch in PATCHES} | {"common:compute_init"}


def test_sources_that_nobody_vouches_for_are_left_alone_and_named(upstream: Upstream):
    original = upstream.gpt.GPT.forward
    report = identity({"gpt:norm": "0"}).report()
    # The stand-in's norm and Linear are the lines that upstream's are.
    assert set(report["patched"]) == {"gpt:norm", "gpt:Linear.forward", "common:compute_init"}
    assert "gpt:GPT.forward" in report["left_alone"]["gpt:GPT.forward"]
    assert report["drifted"]["gpt:GPT.forward"] == standin_digests()["gpt:GPT.forward"]
    assert upstream.gpt.GPT.forward is original


def test_one_symbol_that_drifted_takes_only_the_patches_that_read_it(upstream: Upstream):
    patches = identity({**standin_digests(), "gpt:apply_rotary_emb": "0"})
    assert set(patches.report()["left_alone"]) == {"gpt:CausalSelfAttention.forward"}
    train(upstream)


def test_restore_puts_every_original_back(upstream: Upstream):
    before = upstream.gpt.GPT.forward, upstream.gpt.norm, upstream.flash_attention.flash_attn.flash_attn_func
    identity().restore()
    after = upstream.gpt.GPT.forward, upstream.gpt.norm, upstream.flash_attention.flash_attn.flash_attn_func
    assert before == after


def test_a_patch_without_a_kernel_stays_out(upstream: Upstream):
    report = with_calls(rms_norm=upstream.gpt.norm).report()
    assert set(report["patched"]) == {"gpt:norm", "common:compute_init"}
    assert report["left_alone"]["gpt:GPT.forward"] == "no kernel for it"


def test_kernels_that_span_several_entries_take_their_place(upstream: Upstream):
    stock, count = STOCK["gpt"](upstream.gpt), Counter()

    def counted(entry: str) -> Callable[..., Any]:
        return lambda *arguments: count.update([entry]) or stock[entry](*arguments)

    before = train(upstream)
    with_calls(**{entry: counted(entry) for entry in OPTIONAL})
    after = train(upstream)
    assert count == {"linear_softcap_cross_entropy": 3, "relu2_mlp": 6, "token_order": 3}
    assert all_equal(before, after)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"kv_cache": object()}, "key-value cache"),
        ({"loss_reduction": "sum"}, "another loss reduction"),
        ({"idx": torch.zeros(2, 1, dtype=torch.int64), "targets": torch.zeros(2, 1, dtype=torch.int64)}, "T is one"),
    ],
)
def test_a_call_that_no_patch_covers_runs_upstreams_own(upstream: Upstream, arguments: dict, reason: str):
    tokens = torch.arange(20).view(2, 10)
    arguments = {"idx": tokens, "targets": tokens, **arguments}
    model = make_model(upstream)
    before = model(**arguments)
    patches = identity()
    assert torch.equal(model(**arguments), before)
    assert any(reason in counted for counted in patches.report()["patched"]["gpt:GPT.forward"]["fallbacks"])


@pytest.mark.parametrize("arguments", [{}, {"loss_reduction": "none"}, {"targets": None}])
def test_losses_and_logits_without_gradients_are_covered(upstream: Upstream, arguments: dict):
    tokens = torch.arange(26).view(2, 13)
    arguments = {"idx": tokens, "targets": tokens, **arguments}
    model = make_model(upstream)
    before = model(**arguments)
    patches = identity()
    with torch.inference_mode():
        assert torch.equal(model(**arguments), before)
    assert patches.report()["patched"]["gpt:GPT.forward"]["fallbacks"] == {}


def test_attention_that_is_not_causal_runs_upstreams_own(upstream: Upstream):
    q = torch.randn(1, 4, 2, 8)
    before = upstream.flash_attention.flash_attn.flash_attn_func(q, q, q)
    with_calls(attention=lambda *arguments: pytest.fail("called"))
    assert torch.equal(upstream.flash_attention.flash_attn.flash_attn_func(q, q, q), before)


def test_an_unlimited_window_reaches_the_kernel_as_the_whole_sequence(upstream: Upstream):
    with_calls(attention=lambda q, k, v, window: window)
    q = torch.randn(1, 7, 2, 8)
    assert upstream.flash_attention.flash_attn.flash_attn_func(q, q, q, causal=True, window_size=(-1, 0)) == 7


def test_kernels_of_two_dtypes_are_chosen_by_the_first_tensor():
    call = choose_by_dtype({torch.float32: lambda x: "float32", torch.bfloat16: lambda x: "bfloat16"})
    assert [call(torch.ones(1, dtype=dtype)) for dtype in (torch.bfloat16, torch.float32)] == ["bfloat16", "float32"]


def test_a_module_is_handed_over_after_it_was_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "late_module.py").write_text("value = 1\n")
    seen: list[ModuleType] = []
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [PostImport(["late_module"], seen.append), *sys.meta_path])
    module = importlib.import_module("late_module")
    del sys.modules["late_module"]
    assert seen == [module] and module.value == 1


@pytest.mark.parametrize(
    ("source", "is_same"),
    [
        ("@wrap\ndef f(x):\n    'Other words.'\n    return (x + 1)  # a comment\n", True),
        ("@wrap\ndef f(x):\n    return x + 2\n", False),
        ("def f(x):\n    return x + 1\n", False),
        ("@wrap\ndef f(y):\n    return y + 1\n", False),
    ],
)
def test_a_digest_sees_what_runs_and_nothing_else(source: str, is_same: bool):
    known = symbol_digest("@wrap\ndef f(x):\n    return x + 1\n", "f")
    assert (symbol_digest(source, "f") == known) is is_same


def test_a_symbol_that_is_gone_has_no_digest():
    assert symbol_digest("class A:\n    pass\n", "A.forward") is None


RANK = """
import os, sys, torch.distributed as dist
from kernelsearch.dispatch.upstream.agreement import agree
from kernelsearch.errors import UsageError
rank = int(sys.argv[1])
dist.init_process_group("gloo", store=dist.FileStore(sys.argv[2], 2), rank=rank, world_size=2)
agree("same")
try:
    agree(f"digest of rank {rank}")
except UsageError as error:
    print(error)
"""


def test_ranks_with_different_kernels_all_refuse(tmp_path: Path):
    command = [sys.executable, "-c", RANK]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "ranks")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=100)[0] for rank in ranks]
    assert all("ranks run different kernels" in text for text in said)


def test_a_compiled_model_is_one_graph_with_the_patches_in_it(upstream: Upstream):
    tokens = torch.arange(26).view(2, 13)
    model = make_model(upstream)
    before = model(tokens, tokens).detach()
    patches = identity()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=False)
    assert torch.equal(compiled(tokens, tokens).detach(), before)
    assert patches.report()["patched"]["gpt:GPT.forward"]["fallbacks"] == {}


@pytest.fixture
def blend_library(store: Store) -> Path:
    """A library of the small target with one kernel in the store that was judged by another compiler."""
    shutil.copytree(FOLDER.parent / "blend", store.library / "blend")
    store.add(make_accepted(fingerprint={"compiler": "g++ 4"}))
    return store.library


def bind_blend_entry(store: Store, ledger: Ledger) -> tuple[dict, dict[str, str]]:
    """(calls, reasons) where the small target stands for one of upstream's."""
    choice = Choice(store.library, store.state_dir, lambda accepted: True, admissions(store.library, ledger))
    calls, bindings = bind_entries(choice, {"nudge": lambda *arguments, **rates: None})
    return calls, bindings[0].refused


def test_a_kernel_that_was_judged_elsewhere_stays_out_and_says_so(store: Store, blend_library: Path, tmp_path: Path):
    calls, reasons = bind_blend_entry(store, Ledger(tmp_path / "ledger.jsonl"))
    assert calls == {} and "not admitted here" in reasons["nudge"]


def test_a_kernel_that_was_admitted_here_since_runs(store: Store, blend_library: Path, tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    where = admission_place(TargetFolder(blend_library / "blend").contract_digest)
    body = {"candidate": make_accepted().digest, "where": where, "dtype": "float32", "admitted": True}
    ledger.append("admission", body)
    state = torch.zeros(5)
    bind_blend_entry(store, ledger)[0]["nudge"](torch.ones(5), torch.ones(5), state, step=1, lr=1.0)
    assert torch.equal(state, torch.ones(5))


def test_apply_does_nothing_where_it_is_turned_off(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERNELSEARCH", "0")
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path))
    before = train(upstream)
    patches = kernelsearch.apply(is_identity=True)
    assert all_equal(before, train(upstream))
    assert patches.report()["kernels"] == {} and patches.report()["original_calls"] == {}
    patches.restore()


def test_apply_refuses_an_unknown_choice():
    with pytest.raises(UsageError, match="kernels='fastest'"):
        kernelsearch.apply(kernels="fastest")
