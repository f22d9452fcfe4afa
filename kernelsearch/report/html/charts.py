"""The drawings: each a Vega-Lite specification of plain rows. Colours are the page's own (templates/page.css).

Every series differs from the others in colour and in shape or dash, so that none is told by colour alone. Text from
candidates appears only as data, never as a field name or an expression.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from kernelsearch.report.html.figure import Plot
from kernelsearch.report.html.svg import draw

Rows = Sequence[Mapping[str, Any]]
NARROW, WIDE = 250, 620  # inner widths in pixels; the first fits a phone with its axis
COLOURS = ("var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)")
SHAPES = ("circle", "triangle-up", "diamond", "square")
DASHES = ([1, 0], [5, 3], [2, 2], [8, 3, 2, 3])


def progress(points: Rows, steps: Rows, names: Sequence[str], x: str, title: str) -> Markup:
    """Every timed trial as a point, and the best so far of each proposer as a rising step."""
    colour = {"field": "name", "type": "nominal", "scale": _scale(names, COLOURS)}
    axis_x = {"field": x, "type": "quantitative", "axis": {"title": title, **_whole(row[x] for row in points)}}
    axis_y = {"field": "low", "type": "quantitative", "title": "speedup, lower end", "scale": {"zero": False}}
    shape = {"field": "name", "type": "nominal", "scale": _scale(names, SHAPES)}
    dash = {"field": "name", "type": "nominal", "scale": _scale(names, DASHES)}
    shown = {"x": axis_x, "y": axis_y, "color": colour}
    return draw(
        {
            "width": NARROW,
            "height": 170,
            "layer": [
                _rule_at_one("y"),
                {
                    "data": {"values": list(points)},
                    "mark": {"type": "point", "filled": True, "size": 22, "opacity": 0.6},
                    "encoding": {**shown, "shape": shape, "description": {"field": "label"}},
                },
                {
                    "data": {"values": list(steps)},
                    "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
                    "encoding": {**shown, "strokeDash": dash},
                },
            ],
        }
    )


def bars(rows: Rows, title: str) -> Markup:
    """Horizontal bars of `count`, one a `name`, in the order of the rows; those with `is_good` stand out."""
    fill = {"condition": {"test": "datum.is_good", "value": "var(--good)"}, "value": "var(--c5)"}
    count = {"field": "count", "type": "quantitative"}
    name = {"field": "name", "type": "nominal", "sort": None, "title": None}
    axis = {"title": title, **_whole(row["count"] for row in rows)}
    text = {"type": "text", "align": "left", "dx": 4, "color": "var(--ink)", "fontSize": 11}
    return draw(
        {
            "width": NARROW - 40,
            "padding": _room(rows, "name"),
            "height": {"step": 19},
            "data": {"values": list(rows)},
            "encoding": {"y": name, "x": {**count, "axis": axis}},
            "layer": [
                {"mark": {"type": "bar", "height": 12}, "encoding": {"color": fill, "description": {"field": "label"}}},
                {"mark": text, "encoding": {"text": count}},
            ],
        }
    )


def forest(rows: Rows, names: Sequence[str], title: str) -> Plot:
    """Ratios with their 95% intervals on a logarithmic axis, one line a `label`, one mark a `name`."""
    return Plot(_forest(rows, names, title, 190), _forest(rows, names, title, WIDE - 120))


def small_forest(rows: Rows, names: Sequence[str], title: str) -> Plot:
    return Plot(_forest(rows, names, title, 190))


def _forest(rows: Rows, names: Sequence[str], title: str, width: int) -> Markup:
    x = {"type": "quantitative", "scale": {"type": "log", "nice": False, "padding": 12}}
    values = [0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12] if width > NARROW else [0.25, 0.5, 1, 2, 4, 8, 16]
    axis = {"title": title, "values": values, "labelOverlap": True}
    y = {"field": "label", "type": "nominal", "sort": None, "title": None}
    shared: dict[str, Any] = {"y": y}
    if len(names) > 1:
        shared["yOffset"] = {"field": "name", "type": "nominal", "sort": list(names)}
    colour: dict[str, Any] = {"field": "name", "type": "nominal", "scale": _scale(names, COLOURS)}
    shape: dict[str, Any] = {"field": "name", "type": "nominal", "scale": _scale(names, SHAPES)}
    if len(names) == 1:
        colour["legend"] = shape["legend"] = None
    elif width <= NARROW:  # one name below the other: side by side they are wider than the drawing
        colour["legend"] = shape["legend"] = {"direction": "vertical"}
    ends = {"x": {**x, "field": "low", "axis": axis}, "x2": {"field": "high"}}
    return draw(
        {
            "width": width,
            "padding": _room(rows, "label"),
            "height": {"step": 9 if len(names) > 1 else 20},
            "data": {"values": list(rows)},
            "encoding": shared,
            "layer": [
                {
                    "data": {"values": [{"one": 1}]},
                    "mark": {"type": "rule", "color": "var(--ink)", "strokeDash": [3, 3]},
                    "encoding": {"x": {**x, "field": "one"}, "y": {"value": 0}, "y2": {"value": "height"}},
                },
                {"mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": {**ends, "color": colour}},
                {
                    "mark": {"type": "point", "filled": True, "size": 36, "opacity": 1},
                    "encoding": {
                        "x": {**x, "field": "speedup"},
                        "color": colour,
                        "shape": shape,
                        "description": {"field": "text"},
                    },
                },
            ],
        }
    )


def roofline(rows: Rows, roofs: Rows) -> Plot:
    """Operations a second against operations a byte; a line goes from each kernel up to what its work allows."""
    return Plot(_roofline(rows, roofs, NARROW, 250), _roofline(rows, roofs, WIDE, 330))


def _roofline(rows: Rows, roofs: Rows, width: int, height: int) -> Markup:
    log = {"type": "quantitative", "scale": {"type": "log", "nice": False, "padding": 10}}
    powers = {"values": [10.0**power for power in range(-6, 9)], "format": "~g"}
    x = {**log, "field": "intensity", "axis": {**powers, "title": "operations a byte"}}
    y = {**log, "axis": {**powers, "title": "billion operations a second"}}
    names = ("kernel", "eager")
    colour = {"field": "name", "type": "nominal", "scale": _scale(names, COLOURS)}
    shape = {"field": "name", "type": "nominal", "scale": _scale(names, SHAPES)}
    tick = {
        "type": "tick",
        "color": "var(--ink)",
        "thickness": 2,
        "size": 12 if width > NARROW else 7,
        "orient": "horizontal",
    }
    return draw(
        {
            "width": width,
            "height": height,
            "layer": [
                {
                    "data": {"values": list(roofs)},
                    "mark": {"type": "rule", "color": "var(--muted)", "opacity": 0.5},
                    "encoding": {"x": x, "y": {**y, "field": "reached"}, "y2": {"field": "possible"}},
                },
                {
                    "data": {"values": list(roofs)},
                    "mark": tick,
                    "encoding": {"x": x, "y": {**y, "field": "possible"}},
                },
                {
                    "data": {"values": list(rows)},
                    "mark": {"type": "point", "filled": True, "size": 34, "opacity": 0.9},
                    "encoding": {
                        "x": x,
                        "y": {**y, "field": "reached"},
                        "color": colour,
                        "shape": shape,
                        "description": {"field": "text"},
                    },
                },
            ],
        }
    )


def losses(rows: Rows, x: str, title: str) -> Markup:
    """Training loss of both sides of a race."""
    names = ("baseline", "promoted")
    colour = {"field": "name", "type": "nominal", "scale": _scale(names, ("var(--c2)", "var(--c1)"))}
    dash = {"field": "name", "type": "nominal", "scale": _scale(names, ([5, 3], [1, 0]))}
    axis = {"title": title, "tickCount": 5, "labelOverlap": True}
    y = {"field": "loss", "type": "quantitative", "title": "training loss", "scale": {"zero": False}}
    return draw(
        {
            "width": NARROW,
            "height": 190,
            "data": {"values": list(rows)},
            "mark": {"type": "line", "strokeWidth": 1.6},
            "encoding": {
                "x": {"field": x, "type": "quantitative", "axis": axis},
                "y": y,
                "color": colour,
                "strokeDash": dash,
            },
        }
    )


def _whole(counts: Iterable[float]) -> dict[str, Any]:
    """Ticks of an axis that counts: none between two whole numbers."""
    largest = max(counts, default=0)
    return {"values": list(range(int(largest) + 1)), "format": "d"} if largest <= 6 else {"tickCount": 5}


def _room(rows: Rows, field: str) -> dict[str, float]:
    """Room at the left for the longest label: the reader's font may be wider than the one it was measured with."""
    longest = max((len(str(row[field])) for row in rows), default=0)
    return {"left": 5 + 1.4 * longest, "top": 5, "right": 5, "bottom": 5}


def _rule_at_one(axis: str) -> dict[str, Any]:
    at = {"field": "one", "type": "quantitative"}
    mark = {"type": "rule", "color": "var(--ink)", "strokeDash": [3, 3]}
    return {"data": {"values": [{"one": 1}]}, "mark": mark, "encoding": {axis: at}}


def _scale(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {"domain": list(names), "range": [values[index % len(values)] for index in range(len(names))]}
