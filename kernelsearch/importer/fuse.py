"""A starting C++ source from a function itself, where every operation works on elements or on whole rows.

Elements are computed a row at a time, in as many sweeps over the row as there are sums on the way; what a later sweep
needs again is computed again, or kept where it was dear. Sums over rows are gathered by blocks of rows, in an order
that threads do not change. Whatever does not fit is refused by name; whether the rest is right is for the judge.
"""

from kernelsearch.build.abi import backward_function, forward_function
from kernelsearch.importer.fuse_cpp import write_function
from kernelsearch.importer.fuse_ops import PRELUDE
from kernelsearch.importer.fuse_program import Program
from kernelsearch.importer.fuse_trace import FULL, ONE, NotFusable, Trace, trace_entry
from kernelsearch.importer.imported import ImportedTarget

__all__ = ("NotFusable", "fuse")

HEAD = """\
// {what}: fused from its operations by `kernelsearch optimize`, a plain source to start from.
//
// Layout: row-major, {rows}. Float32 inside, one rounding at each store. Blocks of {size_name} {unit} are shared out
// to the threads; sums over blocks are made in their order, in float64, so threads do not change a bit.
//
// tune: {size_name} in {sizes}
// tune: LOOPS in plain unrolled
// flags if LOOPS=unrolled: -funroll-loops

"""


def fuse(target: ImportedTarget) -> dict[str, str]:
    """Sources by name of seed; raises NotFusable."""

    entry = target.entry
    traces = [(forward_function(entry, ()), trace_entry(target, entry, is_backward=False))]
    if entry.has_backward:
        traces.append((backward_function(entry, ()), trace_entry(target, entry, is_backward=True)))
    is_flat = all(_is_flat(trace) for _, trace in traces)
    functions = []
    for function, trace in traces:
        program = Program(trace, is_flat)
        program.build()
        functions.append(write_function(function, program))
    space = traces[-1][1].space
    head = HEAD.format(
        what=target.problem.function,
        rows="flat" if is_flat else f"a row is {space[-1]}",
        size_name="CHUNK" if is_flat else "ROWS",
        unit="elements" if is_flat else "rows",
        sizes="16384 4096 65536" if is_flat else "16 4 64",
    )
    return {"fused": "\n".join([head + PRELUDE, *functions])}


def _is_flat(trace: Trace) -> bool:
    """Whether all values are of every element or single numbers, so that rows do not matter."""
    tensors = [node for node in trace.graph.nodes if hasattr(node.meta.get("val"), "shape")]
    kinds = {trace.kind_of_shape(node) for node in tensors}
    return kinds <= {FULL, ONE}
