"""A missing extra is one line that says how to get it."""

import pytest

from kernelsearch.cli.require import require
from kernelsearch.errors import EnvironmentMissing


def test_a_missing_extra_says_how_to_get_it():
    with pytest.raises(EnvironmentMissing, match=r"no_such_module is not installed: pip install 'kernelsearch\[mcp\]'"):
        require("mcp", "no_such_module")
