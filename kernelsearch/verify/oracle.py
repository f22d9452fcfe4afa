"""What is right, and how wrong an honest kernel may be: float64 answers with their magnitudes, the baseline's answers.

The oracle starts from inputs already rounded to the workload's dtype, so representation error is nobody's fault.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import UNIT_ROUNDOFF, Entry, Parameters
from kernelsearch.verify.case import TORCH_DTYPES, Case
from kernelsearch.verify.compare import Answer


@dataclass(frozen=True)
class Expected:
    """By name of output, updated input or gradient: what is right, and what the baseline made of the same inputs."""

    answers: Mapping[str, Answer]
    baseline: Mapping[str, Tensor]


def expect(folder: TargetFolder, case: Case) -> Expected:
    return Expected(find_answers(folder, case), run_baseline(folder, case))


def find_answers(folder: TargetFolder, case: Case) -> dict[str, Answer]:
    """The oracle's values and magnitudes.

    reference.py may add to `<entry>` and `<entry>_magnitudes`: `<entry>_stored_magnitudes`, needed where the target
    declares stored intermediates for the dtype; `<entry>_REPEATING`, by regime the results whose sums repeat terms; and
    `<entry>_LEANING_ROWS`, the results whose rows lean as a whole where something is stored.
    """
    entry = folder.target.entry(case.workload.entry)
    reference = folder.module("reference")
    dtype = case.workload.dtype
    parameters: Parameters = dict(case.workload.parameters)
    exact = {name: _widen(tensor) for name, tensor in case.inputs.items()}
    gradients = None if case.output_gradients is None else {n: t.double() for n, t in case.output_gradients.items()}
    values = _differentiate(entry, getattr(reference, entry.name), exact, parameters, gradients)
    outputs = {name: values[name] for name in values if name in {t.name for t in entry.outputs} | set(entry.updates)}
    arguments = (exact, parameters, outputs, gradients)
    with torch.no_grad():
        magnitudes = getattr(reference, f"{entry.name}_magnitudes")(*arguments)
        stored: dict[str, Tensor] = {}
        if folder.target.stored.get(dtype):
            stored = getattr(reference, f"{entry.name}_stored_magnitudes")(*arguments)
    terms = getattr(reference, f"{entry.name}_terms")(dict(case.workload.sizes), parameters)
    repeating = getattr(reference, f"{entry.name}_REPEATING", {}).get(case.regime, ())
    leaning = getattr(reference, f"{entry.name}_LEANING_ROWS", ())
    dtypes = {t.name: TORCH_DTYPES[t.element(dtype)] for t in (*entry.inputs, *entry.outputs, *entry.input_gradients())}
    accumulator, storage = folder.target.accumulator[dtype], UNIT_ROUNDOFF[dtype]
    return {
        name: Answer(
            exact=values[name],
            condition=magnitudes[name],
            dtype=dtypes[name],
            terms=terms[name],
            accumulator=accumulator,
            storage=storage,
            stored=stored.get(name),
            is_repeating=name in repeating,
            is_benign=case.regime == "normal",
            has_leaning_rows=name in stored and name in leaning,
        )
        for name in values
    }


def run_baseline(folder: TargetFolder, case: Case) -> dict[str, Tensor]:
    """Outputs, updated inputs and gradients as today's training computes them, in the workload's dtype."""
    entry = folder.target.entry(case.workload.entry)
    function = contract_baseline(folder, entry)
    parameters = dict(case.workload.parameters)
    return _differentiate(entry, function, dict(case.inputs), parameters, case.output_gradients)


Function = Callable[[dict[str, Tensor], Parameters], dict[str, Tensor]]


def contract_baseline(folder: TargetFolder, entry: Entry) -> Function:
    """The baseline with the contract's inputs and outputs: `f(inputs, parameters) -> outputs` by name."""
    baseline = getattr(folder.module("baseline"), entry.name)
    contract = getattr(folder.module("baseline"), f"{entry.name}_contract", None)

    def run(inputs: dict[str, Tensor], parameters: Parameters) -> dict[str, Tensor]:
        if contract is not None:
            returned = contract(*(inputs[t.name] for t in entry.inputs), **parameters)
        else:
            returned = baseline(*(inputs[t.name] for t in entry.inputs), **parameters)
        if entry.updates:
            return {name: inputs[name] for name in entry.updates}
        results = returned if isinstance(returned, tuple) else (returned,)
        return {t.name: result for t, result in zip(entry.outputs, results, strict=True)}

    return run


def _differentiate(
    entry: Entry,
    function: Function,
    inputs: dict[str, Tensor],
    parameters: Parameters,
    gradients: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Outputs and, where gradients are given, the input gradients by autograd."""
    if gradients is None:
        with torch.no_grad():
            return function({n: t.clone() if n in entry.updates else t for n, t in inputs.items()}, parameters)
    leaves = {n: t.detach().clone().requires_grad_(n in entry.gradients) for n, t in inputs.items()}
    outputs = function(leaves, parameters)
    pairs = [(outputs[t.name], gradients[f"d{t.name}"]) for t in entry.outputs]
    wanted = [leaves[name] for name in entry.gradients]
    found = torch.autograd.grad([o for o, _ in pairs], wanted, [g.to(o.dtype) for o, g in pairs])
    results = {name: tensor.detach() for name, tensor in outputs.items()}
    return results | {f"d{name}": g for name, g in zip(entry.gradients, found, strict=True)}


def _widen(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
