"""`python -m kernelsearch`."""

from kernelsearch.cli import main

main()
