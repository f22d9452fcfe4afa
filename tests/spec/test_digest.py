import pytest

from kernelsearch.digest import canonical_json, digest


def test_the_order_of_keys_does_not_matter():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_parts_do_not_run_into_each_other():
    assert digest(["ab", "c"]) != digest(["a", "bc"])


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="nan"):
        canonical_json({"x": [1.0, float("nan")]})
