"""The GPU judge: its machinery on a stand-in device here, all of it on a GPU where there is one."""

import importlib.util
import socket
from dataclasses import replace

import pytest
import torch

from kernelsearch.build.resources import busy_share
from kernelsearch.errors import EnvironmentMissing
from kernelsearch.sandbox.gpu import channel
from kernelsearch.sandbox.gpu.contest import are_slopes_alike
from kernelsearch.sandbox.gpu.device import CpuDevice
from kernelsearch.sandbox.gpu.judge import GpuJudge
from kernelsearch.sandbox.gpu.launcher import Fenced, Launcher, Trespass
from kernelsearch.sandbox.gpu.peaks import IMPOSSIBLE_FACTOR, GpuPeaks, best_speedup, calls_library, least_us
from kernelsearch.sandbox.gpu.session import GpuSession
from kernelsearch.sandbox.gpu.window import Windows
from kernelsearch.spec import Resources, read_candidate
from kernelsearch.spec.library import find_target, library_path
from kernelsearch.verify.run import CandidateFailure
from tests.sandbox.conftest import QUICK
from tests.sandbox.triton_candidates import RIGHT, WRONG

ROW_SUM = {
    "orders": {
        "forward": ["x"],
        "forward numbers": ["scale"],
        "backward": ["x", "total", "dtotal"],
        "backward numbers": ["scale"],
    },
    "results": {"forward": ["total"], "backward": ["dx"]},
}


@pytest.fixture
def gpu_judge(folder, cache_dir):
    pytest.importorskip("triton")
    return GpuJudge(folder, "float32", folder.workloads("tiny", "float32"), cache_dir, "cpu", QUICK)


@pytest.fixture
def windows(folder):
    """row_sum staged on the stand-in device, the candidate in plain torch."""
    found = {
        "row_sum_forward": lambda x, scale: x.sum(1) * scale,
        "row_sum_backward": lambda x, total, dtotal, scale: (dtotal * scale)[:, None].expand_as(x).contiguous(),
    }
    (workload,) = folder.workloads("tiny", "float32")
    tensors = {"x": torch.randn(512, 256), "dtotal": torch.randn(512)}
    setting = {"folder": str(folder.path), "workload": workload.as_json(), **ROW_SUM}
    return Windows(CpuDevice(), found, tensors=tensors, **setting)


def candidate(text: str):
    return read_candidate("row_sum", "triton", text, "test")


def test_tensors_cross_the_channel_bit_by_bit():
    here, there = socket.socketpair()
    sent = {"a": torch.randn(3, 5).bfloat16(), "b": torch.empty(0, 4), "c": torch.tensor(7)}
    channel.send(here, {"x": 1}, sent)
    document, found = channel.receive(there, 5)
    assert document == {"x": 1}
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in sent.items())


def test_no_answer_in_time_and_a_closed_channel_are_told_apart():
    here, there = socket.socketpair()
    with pytest.raises(channel.Late):
        channel.receive(there, 0.01)
    here.close()
    with pytest.raises(channel.Closed):
        channel.receive(there, 1)


def test_a_write_beside_a_tensor_is_a_trespass():
    fenced = Fenced(torch.randn(4, 4), CpuDevice())
    fenced.check("x", may_change=False)
    fenced._whole[3] = 1e9
    with pytest.raises(Trespass, match="outside x"):
        fenced.check("x", may_change=False)


def test_a_changed_input_is_a_trespass():
    fenced = Fenced(torch.randn(4, 4), CpuDevice())
    fenced.tensor[0, 0] += 1
    fenced.check("x", may_change=True)
    with pytest.raises(Trespass, match="only read"):
        fenced.check("x", may_change=False)


@pytest.fixture
def fill():
    """Calls a host function that allocates four numbers and writes as many as it is told."""
    text = "def f(x, n):\n    y = torch.empty(4)\n    torch.as_strided(y, (n,), (1,)).fill_(1.0)\n    return y\n"
    launcher = Launcher(CpuDevice())
    launcher.found = {"torch": torch}
    exec(text, launcher.found)
    yield lambda count: launcher.call("f", ["x"], {"n": count}, [], {"x": torch.ones(3)})
    assert launcher.found["torch"] is torch


def test_a_write_beside_what_a_host_function_allocates_is_a_trespass(fill):
    with pytest.raises(Trespass, match="allocated"):
        fill(5)


def test_a_write_of_what_a_host_function_allocates_is_none(fill):
    assert torch.equal(fill(4)[1]["0"], torch.ones(4))


def test_windows_have_fresh_inputs_and_both_sides_agree(windows):
    before = windows.sets[0]["x"].clone()
    windows.refresh(1)
    assert not torch.equal(before, windows.sets[0]["x"])
    assert all(windows.window(side)["seconds"] > 0 for side in ("candidate", "baseline"))
    assert max(windows.compare().values()) < 1e-5


def test_fresh_inputs_do_not_need_the_generator_that_a_failed_capture_breaks(windows):
    before = torch.random.get_rng_state()
    windows.refresh(1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_wrong_window_is_seen_by_the_comparison(windows):
    windows.window("baseline")
    windows.window("candidate")
    windows._made["candidate"][0]["total"][0] = float("nan")
    assert not windows.compare()["total"] < 1.0


def test_work_that_the_events_do_not_see_shows_in_the_slope(windows):
    slope = windows.slope("candidate")
    assert slope["seconds"] == slope["host_s"]  # one clock
    assert are_slopes_alike(seconds=1e-3, host_s=1.1e-3) and not are_slopes_alike(seconds=1e-3, host_s=3e-3)


def test_sets_of_inputs_overflow_the_cache_together(windows):
    assert len(windows.sets) * 512 * 256 * 4 > 2 * CpuDevice.cache_bytes


def test_a_small_grid_bounds_the_speedup_before_anything_runs(folder):
    (workload,) = folder.workloads("tiny", "float32")
    peaks, known = GpuPeaks(1e15, 1e12), {workload.name: 10.0}
    whole, part = (best_speedup(folder.target, (workload,), known, peaks, share, 0) for share in (1.0, 1 / 64))
    work = folder.target.entry("row_sum").work(workload.sizes, workload.parameters, "float32", backward=True)
    assert whole == pytest.approx(IMPOSSIBLE_FACTOR * 10.0 / (1e6 * work.bytes / 1e12))
    assert part == pytest.approx(whole / 8)


def test_rows_that_are_not_read_and_results_in_the_cache_need_no_time():
    folder = find_target("embedding_backward", library_path())
    entry = folder.target.entry("embedding")
    workload = next(w for w in folder.workloads("d12", "bfloat16") if w.entry == "embedding")
    peaks, table_us = GpuPeaks(1e30, 1e12), 1e-6 * 2 * workload.sizes["V"] * workload.sizes["C"]
    assert least_us(peaks, entry, workload, 0) < 1.2 * table_us / IMPOSSIBLE_FACTOR
    assert least_us(peaks, entry, workload, 1 << 40) < 0.1 * table_us / IMPOSSIBLE_FACTOR


def test_a_device_is_kept_busy_by_the_largest_grid():
    small, large = (Resources("f", 90, 32, 0, 0, 4, 1.0, blocks) for blocks in (4, 33))
    assert busy_share((small, large), 132) == 0.25
    assert busy_share((small, replace(large, blocks=1000)), 132) == 1.0
    assert busy_share((small, replace(large, blocks=0)), 132) == 1.0  # an old record does not say


def test_grids_of_library_products_are_not_known():
    assert calls_library("def f(a, b):\n    return torch.mm(a, b)\n")
    assert calls_library("def f(a, b):\n    return a @ b\n")
    assert not calls_library(RIGHT)


@pytest.mark.slow
def test_a_binding_that_cannot_win_is_refused_before_it_is_loaded(gpu_judge, monkeypatch):
    described = CpuDevice().describe() | {"multiprocessors": 1 << 20, "capability": 90}
    monkeypatch.setattr(GpuSession, "device", property(lambda _: described, lambda *_: None), raising=False)
    gpu_judge.baselines_us["tiny/rows"] = 1e-6
    verdict = gpu_judge.judge(candidate(RIGHT), to_beat=1.5)
    assert (verdict.status, verdict.gates[-1].name, verdict.speedup) == ("SLOWER", "roofline", None), verdict


@pytest.mark.slow
def test_the_whole_way_of_a_verdict_on_the_stand_in(gpu_judge):
    verdict = gpu_judge.judge(candidate(RIGHT))
    assert verdict.passed and not verdict.accepted, verdict
    assert [m.workload for m in verdict.measurements] == ["tiny/rows"]
    assert {"smoke", "ladder", "determinism", "timed shapes", "timing"} <= {g.name for g in verdict.gates}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forgets the scale", "leaves a row unwritten", "returns another shape"])
def test_a_wrong_kernel_is_refused_on_the_stand_in(gpu_judge, name):
    verdict = replace(gpu_judge, without=frozenset({"timing"})).judge(candidate(WRONG[name][0]))
    assert verdict.status in {"MISMATCH", "PROPERTY", "CONTRACT"}, verdict


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_a_launcher_that_lacks_a_package_is_no_failure_of_the_candidate():
    with GpuSession("cpu") as session, pytest.raises(EnvironmentMissing, match="cupy"):
        session.ask("load", {"source": "", "language": "cuda", "tunables": {}, "dtype": "float32"})


@pytest.mark.slow
def test_a_launcher_that_does_not_answer_is_ended():
    with GpuSession("cpu", timeout_s=30) as session:
        session._timeout_s = 0.0
        with pytest.raises(CandidateFailure, match="no answer"):
            session.ask("peaks")
        assert session.status is not None


@pytest.mark.gpu
def test_a_triton_candidate_is_judged_and_timed_on_the_gpu(gpu_judge):
    verdict = replace(gpu_judge, place="cuda").judge(candidate(RIGHT))
    assert verdict.passed and verdict.measurements and verdict.resources, verdict


@pytest.mark.gpu
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_refused_on_the_gpu(gpu_judge, name):
    verdict = replace(gpu_judge, place="cuda", without=frozenset({"timing"})).judge(candidate(WRONG[name][0]))
    assert not verdict.passed and verdict.status != "INFRASTRUCTURE", verdict


@pytest.mark.gpu
def test_an_identical_kernel_is_not_called_faster_on_the_gpu(folder):
    """The baseline against itself: A/A."""
    from kernelsearch.sandbox.gpu.device import CudaDevice

    device = CudaDevice()
    x = torch.randn(4096, 4096, device="cuda")
    work = device.capture(lambda: x.sum(1)) or (lambda: x.sum(1))
    times = [device.time(work)[0] for _ in range(40)]
    assert sorted(times)[5] > 0.5 * sorted(times)[35]
