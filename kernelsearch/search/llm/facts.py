"""What does not change during a study and a model should know: the contract, the machine, the work and its least time.

Each part is a text; how it was found out is not the prompt's business. A text that was measured, such as the peaks of
the machine, is kept in the ledger with the study's context: asked again, the prompt must be the same to the byte.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kernelsearch.ledger import Ledger, Objects


@dataclass(frozen=True)
class Facts:
    """`definition` says what is computed, in words; `reference` is its source in float64."""

    target: str
    language: str
    dtype: str
    summary: str
    definition: str
    reference: str
    abi: str
    precision: str
    machine: str
    workloads: str


def remembered(ledger: Ledger, objects: Objects, name: str, context: str, make: Callable[[], str]) -> str:
    """The text called `name` in this context: as it was when it was first made."""
    known = ledger.find("fact", name=name, context=context)
    if known:
        return objects.get(known[0].body["text"])
    text = make()
    ledger.append("fact", {"name": name, "context": context, "text": objects.put(text)})
    return text
