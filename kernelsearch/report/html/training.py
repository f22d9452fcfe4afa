"""The race, drawn."""

from kernelsearch.report.html import charts
from kernelsearch.report.html.figure import Figure, Plot
from kernelsearch.report.training import Race


def draw_race(race: Race, name: str) -> Figure | None:
    """Loss against steps and against seconds, both sides; None where the curves were not kept."""
    if not race.curve:
        return None
    plots = tuple(Plot(charts.losses(race.curve, x, x)) for x in ("step", "seconds"))
    return Figure(name, "The race: loss against steps and against seconds", race.curve_words, plots, race.curve_table)
