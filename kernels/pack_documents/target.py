"""Best-fit packing of documents into rows: which document goes next, and how much of it.

    while rows are left to fill and at least max(keep, 1) documents are left:
        the largest document that fits the rest of the row is taken whole, the first of equals;
        where none fits, the first of the shortest is cropped to the rest and closes the row

As nanochat's loader packs rows of capacity = T + 1 tokens; the pieces stand one behind the other, so that rows need no
mention. `lengths` (1 to 2^31 - 1 tokens) are those of the buffered documents in their order, `filled` is what the first
row holds already, 0 <= filled < capacity, and `keep` is how many documents must be there to choose from: below that the
caller reads more of them and asks again. Behind the last piece stand document -1 and 0 tokens. Integers, hence bitwise.
"""

from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Each length looked at once."""
    return float(sizes["D"])


TARGET = Target(
    name="pack_documents",
    summary="best-fit packing of buffered documents into rows of tokens",
    entries=(
        Entry(
            name="pack_documents",
            axes=(Axis("D"),),
            inputs=(TensorSpec("lengths", ("D",), "int64"),),
            outputs=(TensorSpec("documents", ("D",), "int64"), TensorSpec("tokens", ("D",), "int64")),
            parameters=tuple(Parameter(name, "int64") for name in ("capacity", "filled", "rows", "keep")),
            forward_flops=forward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
)
