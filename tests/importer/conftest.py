from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from kernelsearch.importer.isolation import name_target
from kernelsearch.importer.survey import import_problem
from kernelsearch.spec import TargetFolder

PROBLEMS = Path(__file__).parent / "problems"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Workers of pytest fill the cores already, and torch's threads spin while they wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def imported(tmp_path_factory) -> Callable[[str], TargetFolder]:
    """The target made from one of the problems, imported once in this process."""

    @cache
    def find(name: str) -> TargetFolder:
        folder = tmp_path_factory.mktemp("targets") / name
        folder.mkdir()
        import_problem(PROBLEMS / f"{name}.py", folder, name_target(name), {})
        return TargetFolder(folder)

    return find


@pytest.fixture
def write(tmp_path) -> Callable[[str], Path]:
    """A problem's file with one forward of x, a batch_size by dim tensor."""

    def make(forward: str, values: str = "torch.rand(batch_size, dim)", init: str = "[]") -> Path:
        file = tmp_path / "problem.py"
        file.write_text(
            "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\nbatch_size = 40\ndim = 24\n"
            f"class Model(nn.Module):\n    def forward(self, x):\n        {forward}\n"
            f"def get_inputs():\n    return [{values}]\ndef get_init_inputs():\n    return {init}\n"
        )
        return file

    return make
