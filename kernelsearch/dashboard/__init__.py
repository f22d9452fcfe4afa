"""The report as a live page: follows the ledger on disk and sends every viewer the parts that changed."""

from kernelsearch.dashboard.app import make_app
from kernelsearch.dashboard.watch import Watch

__all__ = ["Watch", "make_app"]
