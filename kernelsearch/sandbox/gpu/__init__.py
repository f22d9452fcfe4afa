"""Candidates on a GPU: a launcher of ours owns context, memory, streams and clock; the judge believes copies only."""
