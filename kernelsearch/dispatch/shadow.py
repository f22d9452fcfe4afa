"""Shadow mode: a sample of live calls is computed again exactly, and a kernel that was wrong never runs again.

    shadow = Shadow(rate=0.01, folder=state_dir / "breaches")
    bind(..., shadow=shadow)

The judge proved a kernel on values that it drew; here the values are those of the run. A sampled call is compared with
the target's float64 reference on the very tensors, on random rows where the reference names an axis of independent ones
(verify/case.py): the unit is the judge's (verify/compare.py), so conditioning is accounted for. Two things differ. Live
values may repeat (equal tokens, gradients that are all 1/N), so every sum may round one way, n instead of sqrt(n), and
they were not drawn, so the mean signed error is not judged. That misses a kernel that is merely less precise than it
was, which the judge refuses, and sees what is wrong: a dropped tail, a stale buffer, a neighbour's memory. The baseline
would be a worse witness: in bfloat16 it may be further off than the kernel. Its own error is shown beside a breach.

What is checked is a backward call (inputs, outputs and gradients together) or, for entries without one, the call. It is
checked where the C function runs, so under torch.compile too; there a breach makes the next call retrace.
"""

import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernelsearch.dispatch.store import Accepted
from kernelsearch.errors import CorruptState
from kernelsearch.spec import Entry, TargetFolder, Workload
from kernelsearch.verify.case import Case, take_rows
from kernelsearch.verify.compare import find_difference, scaled_errors
from kernelsearch.verify.oracle import find_answers, run_baseline

BUDGET = 0.02  # share of the wall time that checks may take
LIVE = "live"  # the regime of values that nobody drew


@dataclass(frozen=True)
class Breach:
    """A call that the kernel got wrong; `where` is the file that holds its tensors, or why there is none."""

    entry: str
    digest: str
    result: str
    difference: str
    error: float
    baseline_error: float | None
    where: str


class Shadow:
    """The sample of one process. Draws from its own generators, so that training's random numbers stay as they are.

    `rate` is the largest share of calls to check. Each entry may use its part of `budget`, by its measured cost; its
    first check comes at once.
    """

    def __init__(
        self,
        rate: float,
        folder: Path,
        *,
        budget: float = BUDGET,
        seed: int = 0,
        clock: Callable[[], float] = time.perf_counter,
        say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
    ) -> None:
        self.folder, self.say, self.clock = folder, say, clock
        self.generator = np.random.default_rng(seed)
        self._rate, self._budget, self._random = rate, budget, random.Random(seed)
        self._started_s: float | None = None
        self._watched: list[Watched] = []

    def watch(self, folder: TargetFolder, entry: Entry, n_saved: int, accepted: Accepted) -> "Watched":
        """The watch of one kernel's entry, to be set where its C functions run."""
        watched = Watched(self, folder, entry, n_saved, accepted)
        self._watched.append(watched)
        return watched

    def is_due(self, watched: "Watched") -> bool:
        now = self.clock()
        if self._started_s is None:
            self._started_s = now
        if self._random.random() >= self._rate:
            return False
        allowance_s = self._budget / len(self._watched) * (now - self._started_s)
        return watched.checks == 0 or watched.spent_s + watched.cost_s <= allowance_s


class Watched:
    """One kernel's entry under watch; called with a call's arguments before it runs."""

    def __init__(self, shadow: Shadow, folder: TargetFolder, entry: Entry, n_saved: int, accepted: Accepted) -> None:
        self._shadow, self._folder, self._entry, self._accepted = shadow, folder, entry, accepted
        self._n_saved = n_saved
        self.is_stopped = False
        self.checks = self.unusable = 0
        self.spent_s = self.cost_s = 0.0
        self.breach: Breach | None = None

    def report(self) -> dict[str, Any]:
        return {
            "checks": self.checks,
            "unusable": self.unusable,
            "seconds": round(self.spent_s, 3),
            "breach": None if self.breach is None else vars(self.breach),
        }

    def __call__(self, is_backward: bool, arguments: tuple[Any, ...]) -> Callable[[list[Tensor]], None] | None:
        if self.is_stopped or is_backward != self._entry.has_backward or not self._shadow.is_due(self):
            return None
        started = self._shadow.clock()
        case, got = self._read(arguments)
        before_s = self._shadow.clock() - started

        def finish(made: list[Tensor]) -> None:
            started = self._shadow.clock()
            names = [t.name for t in (self._entry.input_gradients() if is_backward else self._entry.outputs)]
            self._check(case, got | dict(zip(names, made, strict=False)))
            self.cost_s = before_s + self._shadow.clock() - started
            self.spent_s += self.cost_s
            self.checks += 1

        return finish

    def _read(self, arguments: tuple[Any, ...]) -> tuple[Case, dict[str, Tensor]]:
        """The call as a case, and the results that its arguments already hold: outputs, what is updated in place."""
        entry = self._entry
        tensors = [a for a in arguments if isinstance(a, Tensor)]
        numbers = [a if isinstance(a, int) else float(np.float32(a)) for a in arguments[len(tensors) :]]
        inputs = dict(zip([t.name for t in entry.inputs], tensors, strict=False))
        rest = tensors[len(entry.inputs) :]
        got = dict(zip([t.name for t in entry.outputs], rest, strict=False))
        gradients = rest[len(entry.outputs) + self._n_saved :]
        by_name = dict(zip([t.name for t in entry.output_gradients()], gradients, strict=False))
        sizes = {axis: n for t in entry.inputs for axis, n in zip(t.axes, inputs[t.name].shape, strict=True)}
        parameters = dict(zip([p.name for p in entry.parameters], numbers, strict=True))
        workload = Workload(LIVE, entry.name, sizes, parameters, self._accepted.dtype)
        kept = {name: t.clone() if name in entry.updates else t for name, t in inputs.items()}
        updated = {name: inputs[name] for name in entry.updates}
        return Case(workload, LIVE, kept, by_name if entry.has_backward else None), got | updated

    def _check(self, case: Case, got: dict[str, Tensor]) -> None:
        with torch.inference_mode(False), torch.enable_grad():
            case, got = take_rows(self._folder, case, _detached(got), self._shadow.generator)
            case = replace(case, inputs=_detached(case.inputs))
            if not all(_is_finite(t) for t in (*case.inputs.values(), *(case.output_gradients or {}).values())):
                self.unusable += 1
                return
            found = find_breach(self._folder, case, got)
            if found is not None:
                self._stop(case, got, *found)

    def _stop(
        self, case: Case, got: dict[str, Tensor], result: str, difference: str, errors: tuple[float, float]
    ) -> None:
        self.is_stopped = True
        digest, name = self._accepted.digest, self._entry.name
        file = self._shadow.folder / f"{name}-{self._accepted.dtype}-{digest[:12]}.pt"
        try:
            save_breach(file, case, got, digest)
            where = str(file)
        except OSError as error:
            where = f"not kept: {error}"
        self.breach = Breach(name, digest, result, difference, *errors, where)
        self._shadow.say(
            f"kernelsearch: SHADOW MODE: {name} {digest[:12]} was WRONG on live values: {result} {difference} "
            f"({errors[0]:.3g} of its units; the baseline {errors[1]:.3g}). {case.describe_shape()}. "
            f"The baseline runs from now on. Weights updated since the last check may be affected. Tensors: {where}"
        )


def find_breach(
    folder: TargetFolder, case: Case, got: Mapping[str, Tensor]
) -> tuple[str, str, tuple[float, float]] | None:
    """The first wrong result: its name, what is wrong, and the largest scaled errors of kernel and baseline."""
    for name, answer in find_answers(folder, case).items():
        if name not in got:
            continue
        answer = replace(answer, is_repeating=True)
        difference = find_difference(got[name], answer)
        if difference is not None:
            baseline = run_baseline(folder, case)[name]
            errors = scaled_errors(got[name], answer).largest, scaled_errors(baseline, answer).largest
            return name, difference, errors
    return None


def save_breach(file: Path, case: Case, got: Mapping[str, Tensor], digest: str) -> None:
    """Write the call whole or not at all: a case that `load_breach` gives back, and what the kernel made of it."""
    workload = case.workload
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".new")
    try:
        torch.save(
            {
                "entry": workload.entry,
                "dtype": workload.dtype,
                "sizes": dict(workload.sizes),
                "parameters": dict(workload.parameters),
                "inputs": {n: t.clone() for n, t in case.inputs.items()},
                "output_gradients": None
                if case.output_gradients is None
                else {n: t.clone() for n, t in case.output_gradients.items()},
                "got": {n: t.detach().clone() for n, t in got.items()},
                "kernel": digest,
            },
            scratch,
        )
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)


def load_breach(file: Path) -> tuple[Case, dict[str, Tensor]]:
    """The case of a breach and what the kernel made of it; raises CorruptState."""
    try:
        held = torch.load(file, weights_only=True)
        workload = Workload(LIVE, held["entry"], held["sizes"], held["parameters"], held["dtype"])
        return Case(workload, LIVE, held["inputs"], held["output_gradients"]), held["got"]
    except (OSError, KeyError, RuntimeError, ValueError, EOFError) as error:
        raise CorruptState(f"{file}: cannot be read as the tensors of a breach ({error!r})") from None


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
