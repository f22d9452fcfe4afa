import pytest

from kernelsearch.spec.library import TargetFolder, guess_language

PYTHON = "import torch\n"
TRITON = "import torch\nimport triton\n"
CUDA = 'import torch\nSOURCE = """extern "C" __global__ void f() {}"""\n'


@pytest.mark.parametrize(
    ("suffix", "source", "language"),
    [
        (".cpp", TRITON, "cpp"),
        (".py", PYTHON, "python"),
        (".py", TRITON, "triton"),
        (".py", "from triton import language\n", "triton"),
        (".py", CUDA, "cuda"),
        (".py", "# no __global__ here, nor import triton\n", "python"),
        (".rs", CUDA, None),
    ],
)
def test_the_language_is_seen_in_the_file(suffix, source, language):
    assert guess_language(suffix, source) == language


def test_seeds_are_told_apart_by_their_language(tmp_path):
    (tmp_path / "seeds").mkdir()
    for name, text in {"a.cpp": "", "b.py": PYTHON, "c.py": TRITON, "d.py": CUDA}.items():
        (tmp_path / "seeds" / name).write_text(text)
    found = {language: list(TargetFolder(tmp_path).seeds(language)) for language in ("cpp", "python", "triton", "cuda")}
    assert found == {"cpp": ["a"], "python": ["b"], "triton": ["c"], "cuda": ["d"]}
