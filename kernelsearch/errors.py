"""The root error and its children; each carries the exit status the command line returns for it."""


class KernelSearchError(Exception):
    """Something the user can act on; the message names the argument, its value and the way out."""

    exit_status = 2


class UsageError(KernelSearchError):
    """An argument, file or name that cannot be used."""


class ContractError(KernelSearchError):
    """A candidate's source does not follow its target's contract."""


class BuildError(KernelSearchError):
    """The compiler refused a candidate; the message is the compiler's own text."""


class EnvironmentMissing(KernelSearchError):
    """A tool or optional package is not on this machine; the message says how to get it."""


class CorruptState(KernelSearchError):
    """A ledger or store on disk is not what this program wrote."""

    exit_status = 3


class Infrastructure(KernelSearchError):
    """Our own machinery failed: no verdict about a candidate may follow from it."""

    exit_status = 3


class OutsideDomain(Exception):
    """A call that a kernel was not verified for: caught by the callable around it, which counts the reason given."""
