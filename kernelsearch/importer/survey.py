"""The import itself, in a process of its own: runs the problem, finds its contract, refuses what is not worth asking.

    python -m kernelsearch.importer.survey FILE FOLDER ANSWER NAME SETTINGS

Writes the target into FOLDER, which exists, and what it found as JSON into ANSWER: one of "imported", "refused" (the
problem runs, but is no question for a kernel) and "unusable" (it is not a problem, or does not run).
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from kernelsearch.errors import KernelSearchError, UsageError
from kernelsearch.importer.degenerate import ignored_inputs, passing_fakes
from kernelsearch.importer.draft import make_draft
from kernelsearch.importer.folder import Draft, write_folder
from kernelsearch.importer.fuse import NotFusable, fuse
from kernelsearch.importer.imported import open_imported
from kernelsearch.importer.problem import Instance, Problem, read_problem
from kernelsearch.importer.shapes import Shapes, find_shapes, fits_search, imitate, survey_axes
from kernelsearch.importer.values import REGIMES
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import make_case
from kernelsearch.verify.oracle import run_baseline

MAXIMUM_BYTES = 2 << 30
DTYPE = "float32"
ROW_SLACK = 1e-11
# Up to here the problem's own shape is asked too; a large one would take minutes in float64.
OWN_SHAPE_ELEMENTS = 2**21


class Refused(Exception):
    """The problem runs, but is no question that a kernel should be judged by; the message says why."""


def import_problem(file: Path, folder: Path, name: str, settings: Mapping[str, int]) -> dict[str, Any]:
    """Writes the target into `folder`; raises Refused or UsageError, or whatever the problem itself raises."""
    problem = read_problem(file)
    unknown = sorted(set(settings) - set(problem.constants))
    if unknown:
        raise UsageError(f"set={unknown[0]!r}: the sizes at the top of {problem.name} are {_listed(problem, {})}")
    shapes = _shapes(problem, settings)
    survey = survey_axes(problem, settings, shapes)
    if not fits_search(survey, {a.name: a.minimum for a in survey.axes.values()}):
        raise Refused(
            "even its smallest shape is too large for the search for counterexamples; make what stays fixed smaller "
            f"with --set NAME=VALUE: {_listed(problem, settings)}"
        )
    draft = make_draft(problem, name, settings, survey)
    largest = {**survey.base, **draft.edges[-1]}
    _check_behaviour(problem, {n: largest[n] for n in problem.constants})
    # A folder for each draft: a process keeps the modules of a folder, and with them what it knew of the problem.
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        regimes = _finite_regimes(_write(draft, problem, Path(first)), draft)
        draft = replace(draft, imported=replace(draft.imported, regimes=regimes))
        row_axis = _row_axis(_write(draft, problem, Path(second)), draft)
        draft = replace(draft, imported=replace(draft.imported, row_axis=row_axis))
    _write(draft, problem, folder)
    notes = _check_worth(TargetFolder(folder), draft)
    dropped = [regime for regime in REGIMES if regime not in draft.imported.regimes]
    seeds, unfused = _write_seeds(TargetFolder(folder), problem)
    return {
        "target": name,
        "seeds": seeds,
        "unfused": unfused,
        "gradients": list(draft.gradients),
        "axes": {a.name: {"minimum": a.minimum, "multiple": a.multiple} for a in draft.axes if a.name in survey.axes},
        "sizes": dict(draft.base),
        "inputs": {t.name: list(t.axes) for t in draft.inputs},
        "outputs": {t.name: list(t.axes) for t in draft.outputs},
        "row_axis": draft.imported.row_axis,
        "regimes": list(draft.imported.regimes),
        "regimes_without_finite_answers": dropped,
        "notes": notes,
    }


def _write_seeds(folder: TargetFolder, problem: Problem) -> tuple[list[str], str | None]:
    """The names of the sources made of the function itself, or why none could be."""
    if problem.function is None:
        return [], None
    try:
        sources = fuse(open_imported(folder.path))
    except NotFusable as reason:
        return [], str(reason)
    (folder.path / "seeds").mkdir()
    for name, text in sources.items():
        (folder.path / "seeds" / f"{name}.cpp").write_text(text)
    return list(sources), None


def _write(draft: Draft, problem: Problem, folder: Path) -> TargetFolder:
    write_folder(draft, problem.source, folder)
    return TargetFolder(folder)


def _shapes(problem: Problem, settings: Mapping[str, int]) -> Shapes:
    try:
        shapes = find_shapes(problem, settings)
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise Refused(f"its shapes or its course depend on values ({error}): a contract fixes both") from None
    if shapes.bytes > MAXIMUM_BYTES:
        raise Refused(
            f"its tensors take {shapes.bytes / 2**30:.1f} GiB, more than {MAXIMUM_BYTES >> 30}; make it smaller with "
            f"--set NAME=VALUE: {_listed(problem, settings)}"
        )
    with imitate():
        instance = problem.instantiate(settings, seed=0)
        outputs = instance.run()
    tensors = [*outputs, *(x for x in instance.arguments if isinstance(x, torch.Tensor))]
    if any(x.device.type != "cpu" for x in tensors):
        raise Refused("it puts its tensors on another device than the CPU")
    if not all(output.is_floating_point() and output.numel() for output in outputs):
        raise Refused("an output is empty or no floating-point tensor: the rule judges rounding")
    return shapes


def _check_behaviour(problem: Problem, settings: Mapping[str, int]) -> None:
    """A forward must give the same twice, and leave its inputs and the module's states alone."""
    instance = problem.instantiate(settings, seed=0)
    before = [_copy(x) for x in (*instance.arguments, *instance.states().values())]
    first, second = instance.run(), instance.run()
    after = [*instance.arguments, *instance.states().values()]
    if not all(_is_same(a, b) for a, b in zip(before, after, strict=True)):
        raise Refused("its forward changes its inputs or the module's buffers in place")
    if not all(_is_same(a, b) for a, b in zip(first, second, strict=True)):
        raise Refused("its forward is random even in evaluation mode: two calls on equal inputs differ")
    wide = Instance(instance.module.double(), tuple(_widen(x) for x in instance.arguments))
    torch.set_default_dtype(torch.float64)
    try:
        if not all(output.dtype == torch.float64 for output in wide.run()):
            raise Refused("it converts to a lower precision itself, so that it cannot be its own float64 oracle")
    finally:
        torch.set_default_dtype(torch.float32)


def _finite_regimes(folder: TargetFolder, draft: Draft) -> tuple[str, ...]:
    """The kinds of values on which oracle and baseline are finite at the smallest and the largest edge."""
    kept = tuple(regime for regime in REGIMES if _is_finite(folder, draft, regime))
    if "drawn" not in kept:
        raise Refused("its answers on its own inputs are not finite")
    return kept


def _is_finite(folder: TargetFolder, draft: Draft, regime: str) -> bool:
    rng = np.random.default_rng(2)
    for sizes in (draft.edges[0], draft.edges[-1], draft.edges[-1]):
        try:
            case = make_case(folder, _workload(draft, sizes), regime, rng)
            exact = _exact(folder, draft, case.inputs)
            found = [*exact.values(), *run_baseline(folder, case).values()]
        except (RuntimeError, ValueError, IndexError):
            if regime == "drawn":
                raise
            return False
        if not all(bool(torch.isfinite(x).all()) for x in found):
            return False
    return True


def _row_axis(folder: TargetFolder, draft: Draft) -> str | None:
    """An axis along which each row of every output is the same when the other rows are not there."""
    entry = folder.target.entry(draft.name)
    arguments = [t for t in entry.inputs if t.name not in draft.imported.states]
    for axis in entry.axes:
        is_everywhere = all(axis.name in t.axes for t in entry.outputs) and any(axis.name in t.axes for t in arguments)
        once = all(t.axes.count(axis.name) <= 1 for t in (*entry.inputs, *entry.outputs))
        once = once and all(axis.name in t.axes for t in entry.input_gradients())  # else a gradient sums over rows
        is_free = axis.minimum == axis.multiple == 1 and axis.maximum > 1 and is_everywhere and once
        if is_free and all(_rows_stand_alone(folder, draft, axis.name, r) for r in draft.imported.regimes):
            return axis.name
    return None


def _rows_stand_alone(folder: TargetFolder, draft: Draft, axis: str, regime: str) -> bool:
    entry = folder.target.entry(draft.name)
    case = make_case(folder, _workload(draft, draft.edges[-1]), regime, np.random.default_rng(3))
    whole = _exact(folder, draft, case.inputs)
    size = draft.edges[-1][axis]
    for start, count in ((0, 1), (size // 3, size // 2), (size - 1, 1)):
        part = {t.name: _narrow(case.inputs[t.name], t.axes, axis, start, count) for t in entry.inputs}
        alone = _exact(folder, draft, part)
        for t in entry.outputs:
            expected = _narrow(whole[t.name], t.axes, axis, start, count)
            scale = float(whole[t.name].abs().max())
            if (
                alone[t.name].shape != expected.shape
                or float((alone[t.name] - expected).abs().max()) > ROW_SLACK * scale
            ):
                return False
    return True


def _exact(folder: TargetFolder, draft: Draft, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    oracle = getattr(folder.module("reference"), draft.name)
    found: dict[str, torch.Tensor] = oracle({n: _widen(x) for n, x in inputs.items()}, dict(draft.parameters))
    return found


def _narrow(x: torch.Tensor, axes: tuple[str, ...], axis: str, start: int, count: int) -> torch.Tensor:
    return x.narrow(axes.index(axis), start, count).contiguous() if axis in axes else x


def _check_worth(folder: TargetFolder, draft: Draft) -> list[str]:
    """Raises Refused where a wrong answer would pass; returns what is worth knowing short of that."""
    workload = _workload(draft, draft.edges[-1])
    normal, drawn = (passing_fakes(folder, workload, regime, is_lenient=False) for regime in ("normal", "drawn"))
    if normal & drawn:
        raise Refused(f"degenerate: {' and '.join(sorted(normal & drawn))} would pass for its answer")
    ignored = ignored_inputs(folder, workload, "normal")
    arguments = [name for name in ignored if name not in draft.imported.states]
    if arguments:
        raise Refused(f"degenerate: its answer does not depend on {' and '.join(arguments)}")
    notes = [f"on inputs as the problem draws them {fake} would pass; other values refuse it" for fake in sorted(drawn)]
    if draft.kind == "function":  # nobody's tolerance is asked about, and the shape may be large
        return notes + [f"the answer does not depend on {name}: a kernel may leave it out" for name in ignored]
    asked = _workload(draft, draft.base) if _elements(draft) <= OWN_SHAPE_ELEMENTS else workload
    lenient = passing_fakes(folder, asked, "drawn", is_lenient=True) - drawn
    notes += [f"KernelBench's tolerance would accept {fake}; ours does not" for fake in sorted(lenient)]
    return notes + [f"the answer does not depend on {name}: a kernel may leave it out" for name in ignored]


def _elements(draft: Draft) -> int:
    """Of all tensors at the problem's own shape."""
    return sum(prod(t.shape(draft.base)) for t in (*draft.inputs, *draft.outputs))


def _workload(draft: Draft, sizes: Mapping[str, int]) -> Workload:
    return Workload("import/edge", draft.name, dict(sizes), dict(draft.parameters), DTYPE)


def _listed(problem: Problem, settings: Mapping[str, int]) -> str:
    numbers = {**problem.constants, **settings}
    return " ".join(f"{name}={value}" for name, value in numbers.items()) or "none"


def _copy(x: Any) -> Any:
    return x.clone() if isinstance(x, torch.Tensor) else x


def _widen(x: Any) -> Any:
    return x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x


def _is_same(a: Any, b: Any) -> bool:
    if not isinstance(a, torch.Tensor):
        return bool(a == b)
    return a.shape == b.shape and torch.equal(a.nan_to_num(nan=1e30), b.nan_to_num(nan=1e30))


def main() -> None:
    file, folder, answer, name, settings = sys.argv[1:]
    warnings.simplefilter("ignore")
    found: dict[str, Any]
    try:
        found = {"imported": import_problem(Path(file), Path(folder), name, json.loads(settings))}
    except Refused as refusal:
        found = {"refused": str(refusal)}
    except KernelSearchError as error:
        found = {"unusable": str(error)}
    except Exception as error:  # whatever somebody else's code raises is an answer about that code
        text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        found = (
            {"refused": f"it needs a GPU ({text})"}
            if "cuda" in text.lower()
            else {"unusable": f"it does not run: {text}"}
        )
    Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
