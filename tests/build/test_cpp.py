from pathlib import Path

import pytest

from kernelsearch.build import cpp
from kernelsearch.build.abi import describe_abi
from kernelsearch.errors import BuildError, EnvironmentMissing
from kernelsearch.spec import TargetFolder, read_candidate

FOLDER = TargetFolder(Path(__file__).parent.parent / "sandbox" / "row_sum")
SEED = FOLDER.seeds("cpp")["plain"]


def build(source: str, cache: Path, dtype: str = "float32") -> cpp.Artifact:
    return cpp.build(FOLDER.target, read_candidate("row_sum", "cpp", source, "test"), dtype, cache)


def test_the_prototype_lists_tensors_then_axes_then_parameters():
    assert describe_abi(FOLDER.target, "").splitlines() == [
        'extern "C" void row_sum_forward(const scalar_t* x, scalar_t* total, int64_t N, int64_t D, float scale);',
        (
            'extern "C" void row_sum_backward(const scalar_t* x, const scalar_t* total, const scalar_t* dtotal, '
            "scalar_t* dx, int64_t N, int64_t D, float scale);"
        ),
    ]


def test_the_same_source_is_compiled_once(tmp_path):
    first = build(SEED, tmp_path)
    written = first.path.stat().st_mtime_ns
    assert build(SEED, tmp_path).path.stat().st_mtime_ns == written


def test_dtype_and_tunables_make_another_artifact(tmp_path):
    candidate = read_candidate("row_sum", "cpp", SEED, "test")
    keys = {build(SEED, tmp_path).key, build(SEED, tmp_path, "bfloat16").key}
    keys.add(cpp.build(FOLDER.target, candidate.bind(UNROLL=4), "float32", tmp_path).key)
    assert len(keys) == 3


def test_a_compile_error_gives_the_compilers_text_without_paths(tmp_path):
    with pytest.raises(BuildError, match="nonsense") as failure:
        build(SEED + "nonsense;\n", tmp_path)
    assert str(tmp_path) not in str(failure.value)


def test_nothing_half_built_stays_behind(tmp_path):
    with pytest.raises(BuildError):
        build("nonsense;\n", tmp_path)
    assert {path.parent.name for path in tmp_path.rglob("*") if path.is_file()} == {"native"}


def test_a_missing_compiler_is_said_with_the_command_that_brings_it(monkeypatch, tmp_path):
    cpp.compiler.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMissing, match="apt-get install g"):
        cpp.compiler()
