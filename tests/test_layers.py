"""The import layers of docs/architecture.md, read from the syntax trees: lazy and TYPE_CHECKING imports count too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = (
    ("errors", "digest"),
    ("spec",),
    ("build", "verify", "timing", "ledger"),
    ("sandbox", "dispatch", "search", "importer", "ideas"),
    ("compare", "custom"),
    ("scorecard",),
    ("report",),
    ("dashboard",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_names(file: Path) -> set[str]:
    """The absolute dotted names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return names


def package_of(file: Path) -> str:
    return file.relative_to(ROOT / "kernelsearch").parts[0].removesuffix(".py")


def upward_imports(file: Path) -> list[str]:
    own = package_of(file)
    used = {name.split(".")[1] for name in imported_names(file) if name.startswith("kernelsearch.")}
    return sorted(name for name in used if name != own and LEVEL.get(name, 99) >= LEVEL[own])


def identify(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", [f for f in modules("kernelsearch") if package_of(f) != "__init__"], ids=identify)
def test_a_package_imports_only_from_the_layers_below_it(file):
    assert upward_imports(file) == []


@pytest.mark.parametrize("file", modules("kernelsearch"), ids=identify)
def test_kernelsearch_names_neither_the_model_nor_a_kernel(file):
    assert not {name.split(".")[0] for name in imported_names(file)} & {"nanochat", "kernels", "tests", "bench"}


@pytest.mark.parametrize("file", modules("nanochat"), ids=identify)
def test_nanochat_never_imports_kernelsearch(file):
    assert not {name.split(".")[0] for name in imported_names(file)} & {"kernelsearch", "kernels"}


@pytest.mark.parametrize("file", modules("kernelsearch") + modules("nanochat"), ids=identify)
def test_imports_are_absolute(file):
    assert not [name for name in imported_names(file) if name.startswith(".")]


def test_kernels_is_not_an_importable_package():
    assert not list((ROOT / "kernels").rglob("__init__.py"))


def test_an_upward_import_inside_a_function_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "kernelsearch" / "spec").mkdir(parents=True)
    file = tmp_path / "kernelsearch" / "spec" / "lazy.py"
    file.write_text("def later():\n    from kernelsearch.search import study\n")
    assert upward_imports(file) == ["search"]


def test_the_nouns_load_without_torch_triton_or_ray():
    code = "import sys, kernelsearch.spec; print(sorted({'torch', 'triton', 'ray', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
