"""The oracles of token order, embedding and packing: honest variants live, small mistakes die."""

import numpy as np
import pytest
import torch

from kernelsearch.spec import TargetFolder, Workload, library_path
from kernelsearch.verify.case import make_case
from kernelsearch.verify.compare import find_difference
from kernelsearch.verify.oracle import find_answers

EMBEDDING = Workload("test/embedding", "embedding", {"N": 500, "V": 100, "C": 24}, {}, "float32")
ORDER = Workload("test/order", "token_order", {"N": 400}, {"vocab_size": 50}, "float32")
NUMBERS = {"capacity": 129, "filled": 5, "rows": 12, "keep": 50}
PACKING = Workload("test/packing", "pack_documents", {"D": 150}, NUMBERS, "float32")


def case_and_answers(target, workload, regime):
    folder = TargetFolder(library_path() / target)
    case = make_case(folder, workload, regime, np.random.default_rng(0))
    return case, find_answers(folder, case)


def summed(case, rows, order):
    """Row by row in the given order, rounding each sum to the dtype of `rows`."""
    totals = torch.zeros_like(case.inputs["table"], dtype=rows.dtype)
    for n in order.tolist():
        totals[case.inputs["tokens"][n]] += rows[n]
    return totals.float()


def sorted_gradients(case):
    return case.output_gradients["drows"], case.inputs["order"]


HONEST = {
    "serial": lambda case, rows, order: summed(case, rows, order),
    "from the last": lambda case, rows, order: summed(case, rows, order.flip(0)),
    "float64": lambda case, rows, order: summed(case, rows.double(), order),
}
WRONG = {
    "accumulator in bfloat16": lambda case, rows, order: summed(case, rows.bfloat16(), order),
    "accumulator in float16": lambda case, rows, order: summed(case, rows.half(), order),
    "inputs of ten bits": lambda case, rows, order: summed(
        case, (rows.view(torch.int32) & ~0x1FFF).view(rows.dtype), order
    ),
    "last position dropped": lambda case, rows, order: summed(case, rows, order[:-1]),
    "first position twice": lambda case, rows, order: summed(case, rows, torch.cat([order[:1], order])),
    "tail of the channels dropped": lambda case, rows, order: summed(
        case, torch.where(torch.arange(rows.shape[1]) < 16, rows, 0.0), order
    ),
}


@pytest.mark.parametrize("regime", ["normal", "one_token", "any_order", "repeated_positions"])
@pytest.mark.parametrize("name", HONEST)
def test_a_gradient_may_be_added_in_another_order(name, regime):
    case, answers = case_and_answers("embedding_backward", EMBEDDING, regime)
    assert find_difference(HONEST[name](case, *sorted_gradients(case)), answers["dtable"]) is None


@pytest.mark.parametrize("name", WRONG)
def test_a_gradient_of_lower_precision_or_of_other_terms_is_refused(name):
    case, answers = case_and_answers("embedding_backward", EMBEDDING, "normal")
    assert find_difference(WRONG[name](case, *sorted_gradients(case)), answers["dtable"]) is not None


def test_rows_that_were_narrowed_are_refused():
    case, answers = case_and_answers("embedding_backward", EMBEDDING, "normal")
    rows = case.inputs["table"][case.inputs["tokens"]]
    assert find_difference(rows, answers["rows"]) is None
    assert find_difference(rows.bfloat16().float(), answers["rows"]) is not None


def test_equal_tokens_turned_round_are_refused():
    case, answers = case_and_answers("embedding_backward", ORDER, "normal")
    tokens = case.inputs["tokens"]
    turned = len(tokens) - 1 - tokens.flip(0).argsort(stable=True)
    assert torch.equal(tokens[turned], tokens[answers["order"].exact])
    assert find_difference(turned, answers["order"]) is not None


@pytest.mark.parametrize("rival", ["scan", "bisection"])
@pytest.mark.parametrize("regime", ["normal", "ties", "long", "trained"])
def test_every_way_to_pack_gives_the_same_integers(rival, regime):
    case, answers = case_and_answers("pack_documents", PACKING, regime)
    rivals = TargetFolder(library_path() / "pack_documents").module("baseline").RIVALS
    documents, tokens = rivals[rival](case.inputs["lengths"], **NUMBERS)
    assert find_difference(documents, answers["documents"]) is None
    assert find_difference(tokens, answers["tokens"]) is None


@pytest.mark.parametrize(
    ("regime", "changed"),
    [("short", {"keep": 51}), ("long", {"rows": 11}), ("short", {"filled": 6}), ("normal", {"capacity": 128})],
)
def test_a_packing_off_by_one_is_refused(regime, changed):
    case, answers = case_and_answers("pack_documents", PACKING, regime)
    baseline = TargetFolder(library_path() / "pack_documents").module("baseline").pack_documents
    documents, tokens = baseline(case.inputs["lengths"], **(NUMBERS | changed))
    wrong = [find_difference(documents, answers["documents"]), find_difference(tokens, answers["tokens"])]
    assert any(wrong)


def test_the_last_of_equal_documents_is_refused():
    case, answers = case_and_answers("pack_documents", PACKING, "ties")
    baseline = TargetFolder(library_path() / "pack_documents").module("baseline").pack_documents
    documents, _ = baseline(case.inputs["lengths"].flip(0), **NUMBERS)
    from_the_end = torch.where(documents >= 0, len(documents) - 1 - documents, documents)
    assert find_difference(from_the_end, answers["documents"]) is not None
