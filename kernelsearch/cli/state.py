"""Where state lives, without what measuring needs: commands that only read it start in a tenth of a second."""

import os
from pathlib import Path

from kernelsearch.errors import UsageError

STATE_VARIABLE = "KERNELSEARCH_HOME"


def find_state_dir() -> Path:
    """The state folder, $KERNELSEARCH_HOME or .kernelsearch here; it need not exist."""
    return Path(os.environ.get(STATE_VARIABLE) or ".kernelsearch").resolve()


def open_state() -> Path:
    """The state folder, made if need be."""
    state = find_state_dir()
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{STATE_VARIABLE}={state}: cannot be made ({error.strerror}); name a folder that you can write"
        ) from None
    return state
