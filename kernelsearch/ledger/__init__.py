"""The append-only, hash-chained list of records, and the sources they name."""

from kernelsearch.ledger.audit import ChainReport, read_lines, recheck, verify_chain
from kernelsearch.ledger.chain import Ledger
from kernelsearch.ledger.line import GENESIS, Line
from kernelsearch.ledger.objects import Objects

__all__ = ["GENESIS", "ChainReport", "Ledger", "Line", "Objects", "read_lines", "recheck", "verify_chain"]
