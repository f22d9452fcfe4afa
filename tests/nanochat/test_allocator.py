import subprocess
import sys

import pytest

FRESH_TENSORS = """
import resource, sys, torch
from nanochat.allocator import tune_allocator
if sys.argv[1] == "tuned":
    assert tune_allocator()
for i in range(20):
    torch.ones(9_000_000)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    warm = faults if i == 15 else locals().get("warm")
print(faults - warm)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_once_warm_large_tensors_cost_no_page_faults():
    faults = {
        setting: int(subprocess.check_output([sys.executable, "-c", FRESH_TENSORS, setting]))
        for setting in ("default", "tuned")
    }
    pages_of_four = 4 * 36_000_000 // 4096
    assert faults["default"] >= pages_of_four and faults["tuned"] < 0.05 * pages_of_four
