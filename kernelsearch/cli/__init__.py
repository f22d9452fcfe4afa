"""The command line. Exit status: 0 done, 1 the answer is no, 2 wrong usage, 3 our fault, 130 interrupted."""

from kernelsearch.cli.app import main

__all__ = ["main"]
