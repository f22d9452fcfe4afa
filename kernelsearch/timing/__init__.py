"""The judge's clock: interleaved pairs, decisions with an interval, rooflines, what machine this was."""
