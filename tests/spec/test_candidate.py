import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelsearch.errors import ContractError
from kernelsearch.spec import Axis, Entry, Target, TensorSpec, read_candidate, saved_tensors, tunable_space
from kernelsearch.spec.candidate import MAXIMUM_SOURCE_BYTES, bindings

ENTRY = Entry("f", (Axis("N"),), (TensorSpec("x", ("N",)),), (TensorSpec("y", ("N",)),), lambda s, p: 0.0,
              lambda s, p: 0.0, gradients=("x",))  # fmt: skip
TARGET = Target("f", "", (ENTRY,), {"float32": 2.0**-24})


def test_the_first_value_of_a_tunable_is_its_default():
    assert read_candidate("f", "cpp", "// tune: TILE in 32 8 16\n", "x").tunables == {"TILE": 32}


def test_bindings_are_every_combination_with_the_defaults_first():
    every = bindings("// tune: A in 2 1\n// tune: B in 3 4\n")
    assert every[0] == {"A": 2, "B": 3}
    assert len(every) == 4


@pytest.mark.parametrize("line", ["// tune: A in 1 x", "// tune: A in 1 1", "// tune: A in 1\n// tune: A in 2"])
def test_a_malformed_tunable_is_refused(line):
    with pytest.raises(ContractError, match="tune: A"):
        tunable_space(line)


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_sources_have_different_identities(a, b):
    same = read_candidate("f", "cpp", a, "x").digest == read_candidate("f", "cpp", b, "y").digest
    assert same == (a == b)


def test_tunables_are_part_of_the_identity_and_origin_is_not():
    one = read_candidate("f", "cpp", "// tune: A in 1 2\n", "x")
    assert one.digest == read_candidate("f", "cpp", one.source, "elsewhere").digest
    assert one.digest != one.bind(A=2).digest


def test_a_source_that_is_too_long_is_refused():
    with pytest.raises(ContractError, match="bytes"):
        read_candidate("f", "cpp", "/" * (MAXIMUM_SOURCE_BYTES + 1), "x")


def test_saved_tensors_come_in_declared_order():
    saved = saved_tensors("// saves: b float32 N\n// saves: a scalar\n", TARGET, "f")
    assert [(t.name, t.axes, t.dtype) for t in saved] == [("b", ("N",), "float32"), ("a", (), "scalar")]


@pytest.mark.parametrize("line", ["// saves: a float32 M", "// saves: a float99 N", "// saves g: a float32 N"])
def test_a_malformed_saved_tensor_is_refused(line):
    with pytest.raises(ContractError, match="saves"):
        saved_tensors(line, TARGET, "f")


def test_a_python_file_declares_tunables_as_a_literal():
    text = '"""Doc."""\nTUNE = {"BLOCK": [64, 128], "WARPS": (4,)}\n'
    assert tunable_space(text) == {"BLOCK": (64, 128), "WARPS": (4,)}
    assert read_candidate("f", "triton", text, "x").tunables == {"BLOCK": 64, "WARPS": 4}


@pytest.mark.parametrize(
    "line",
    ['{"A": [1, 1]}', '{"A": [1.5]}', '{"A": []}', '{"A": 3}', '{"A": [True]}', "{1: [2]}", "[1]", "f()", '{"A": [B]}'],
)
def test_a_malformed_literal_of_tunables_is_refused(line):
    with pytest.raises(ContractError, match=r"tune|TUNE"):
        tunable_space(f"TUNE = {line}\n")


def test_declaring_tunables_twice_is_refused():
    with pytest.raises(ContractError, match="TUNE"):
        tunable_space('TUNE = {"A": [1]}\nTUNE = {"A": [2]}\n')


@pytest.mark.parametrize(
    "text", ["TUNE = {\n", "def f(:\nTUNE = {}\n", "TUNE = 1 // tune\n\x00", "TUNE =" + "-" * 50_000]
)
def test_a_file_that_is_not_python_declares_nothing(text):
    assert tunable_space(text) == {}


def test_saved_tensors_of_a_python_file_are_a_literal():
    text = 'SAVES = {"b": ("float32", "N"), "f: a": ("scalar",)}\n'
    assert [(t.name, t.axes, t.dtype) for t in saved_tensors(text, TARGET, "f")] == [
        ("b", ("N",), "float32"),
        ("a", (), "scalar"),
    ]


@pytest.mark.parametrize(
    "line",
    ['{"a": ("float32", "M")}', '{"a": ("float99",)}', '{"g: a": ("float32", "N")}', '{"a": "N"}', '{"a": ()}'],
)
def test_a_malformed_literal_of_saved_tensors_is_refused(line):
    with pytest.raises(ContractError, match="saves"):
        saved_tensors(f"SAVES = {line}\n", TARGET, "f")
