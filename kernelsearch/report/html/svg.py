"""Vega-Lite specifications drawn as SVG that fits into a page: no style attributes, colours left to the page's CSS.

Vega passes colours through as text, so `var(--ink)` in a specification follows the page's light or dark theme. The page
describes each figure itself; inside the drawing, marks keep their descriptions as tooltips (`<title>`) only.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from kernelsearch.errors import EnvironmentMissing

_SVG = "http://www.w3.org/2000/svg"
_DROPPED = ("style", "role", "aria-roledescription", "aria-label", "aria-hidden", "pointer-events", "class")
_TEXT = {"font": "system-ui, sans-serif", "fontSize": 11}
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": _TEXT["font"],
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelLimit": 260,
    },
    "legend": {
        "labelColor": "var(--muted)",
        "labelFontSize": 11,
        "title": None,
        "orient": "top",
        "symbolType": "circle",
        "labelLimit": 220,
    },
}


def draw(spec: Mapping[str, Any]) -> Markup:
    """The SVG element of a Vega-Lite specification. Raises EnvironmentMissing without the `report` extra."""
    return _draw(json.dumps({"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "config": CONFIG, **spec}))


@lru_cache(maxsize=512)  # a live page draws again only what changed
def _draw(spec: str) -> Markup:
    try:
        import vl_convert  # an extra, and 30 MB of it
    except ImportError:
        raise EnvironmentMissing(
            "the HTML report draws with vl-convert-python; install it with `pip install 'kernelsearch[report]'`"
        ) from None
    return Markup(_tidy(vl_convert.vegalite_to_svg(spec)))


def _tidy(svg: str) -> str:
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        label = element.get("aria-label") if element.get("aria-roledescription") in _MARKS else None
        for name in _DROPPED:
            element.attrib.pop(name, None)
        if label:
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = label
            element.insert(0, title)
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    return ElementTree.tostring(root, encoding="unicode")


_MARKS = ("point", "circle", "bar", "rect mark", "rule", "line mark")
