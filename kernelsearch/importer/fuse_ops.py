"""Operations of aten on vectors of floats, as C++ expressions; what is not here cannot be fused."""

from collections.abc import Callable, Mapping
from typing import Any

from kernelsearch.importer.fuse_trace import NotFusable

# Worth keeping from one sweep over a row to the next; everything else is computed again.
DEAR = frozenset(["exp", "erf", "tanh", "sigmoid", "log", "log2", "log1p", "log10", "expm1", "sin", "cos", "pow"])
_BY_LANE = {
    name: f"each_lane({{0}}, [](float t) {{{{ return __builtin_{name}f(t); }}}})"
    for name in ("log", "log2", "log10", "log1p", "expm1", "sin", "cos", "sinh", "cosh")
}
_UNARY = _BY_LANE | {
    "neg": "(-{0})",
    "abs": "({0} < 0.0f ? -{0} : {0})",
    "exp": "exp({0})",
    "exp2": "exp({0} * 0.693147181f)",
    "erf": "erf({0})",
    "tanh": "hyperbolic_tangent({0})",
    "sigmoid": "(1.0f / (1.0f + exp(-{0})))",
    "sqrt": "sqrt({0})",
    "rsqrt": "(1.0f / sqrt({0}))",
    "reciprocal": "(1.0f / {0})",
    "relu": "max(Vec{{}}, {0})",
    "sign": "({0} > 0.0f ? broadcast(1.0f) : ({0} < 0.0f ? broadcast(-1.0f) : {0}))",
    "logical_not": "(~{0})",
    "bitwise_not": "(~{0})",
}
_BINARY = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "rsub": "({1} - {0})",
    "mul": "({0} * {1})",
    "div": "({0} / {1})",
    "true_divide": "({0} / {1})",
    "maximum": "larger({0}, {1})",
    "minimum": "smaller({0}, {1})",
    "clamp_min": "larger({0}, {1})",
    "clamp_max": "smaller({0}, {1})",
    "gt": "({0} > {1})",
    "lt": "({0} < {1})",
    "ge": "({0} >= {1})",
    "le": "({0} <= {1})",
    "eq": "({0} == {1})",
    "ne": "({0} != {1})",
    "logical_and": "({0} & {1})",
    "logical_or": "({0} | {1})",
    "bitwise_and": "({0} & {1})",
    "bitwise_or": "({0} | {1})",
}
_POWERS = {
    0.5: "sqrt({0})",
    -0.5: "(1.0f / sqrt({0}))",
    1: "{0}",
    2: "({0} * {0})",
    3: "({0} * {0} * {0})",
    4: "({0} * {0} * ({0} * {0}))",
    -1: "(1.0f / {0})",
    -2: "(1.0f / ({0} * {0}))",
}


def expression(name: str, arguments: list[str], raw: tuple[Any, ...], named: Mapping[str, Any]) -> str:
    """The value of operation `name`; `arguments` are C++ values, `raw` and `named` what the graph has."""
    if name in _SPECIAL:
        return _SPECIAL[name](arguments, raw)
    if set(named) - {"alpha"} or named.get("alpha", 1) != 1 or (name in ("add", "sub", "rsub") and raw[2:]):
        raise NotFusable(f"{name} with the options {', '.join(named)}")
    if name in _UNARY and len(arguments) == 1:
        return _UNARY[name].format(*arguments)
    if name in _BINARY and len(arguments) == 2:
        return _BINARY[name].format(*arguments)
    raise NotFusable(f"the operation {name} is none on elements or rows that can be written")


def literal(value: Any) -> str:
    """A number as a vector of it."""
    if value == float("inf") or value == float("-inf"):
        return f"broadcast({'-' if value < 0 else ''}__builtin_inff())"
    return f"broadcast({float(value)!r}f)"


def _power(arguments: list[str], raw: tuple[Any, ...]) -> str:
    if raw[1] not in _POWERS:
        raise NotFusable(f"a power of {raw[1]}")
    return _POWERS[raw[1]].format(arguments[0])


def _clamp(arguments: list[str], raw: tuple[Any, ...]) -> str:
    low, high = (*raw[1:], None)[:2]
    text = arguments[0] if low is None else f"larger({arguments[0]}, {literal(low)})"
    return text if high is None else f"smaller({text}, {literal(high)})"


_SPECIAL: dict[str, Callable[[list[str], tuple[Any, ...]], str]] = {
    "pow": _power,
    "clamp": _clamp,
    "hardtanh": lambda arguments, raw: _clamp(arguments, (*raw, -1.0, 1.0) if len(raw) == 1 else raw),
    "where": lambda arguments, raw: "({} ? {} : {})".format(*arguments),
    "masked_fill": lambda arguments, raw: "({1} ? {2} : {0})".format(*arguments),
}

PRELUDE = """\
#include <kernelsearch/simd.h>

#include <algorithm>

namespace {

using namespace ks;

typedef double Wide __attribute__((vector_size(LANES * 8)));

inline Vec load_lanes(const scalar_t* p, int count) { return count == LANES ? load(p) : load_first(p, count); }

inline void store_lanes(scalar_t* p, Vec x, int count) {
    if (count == LANES)
        store(p, x);
    else
        store_first(p, x, count);
}

inline Vec only(Vec x, int count, float other) { return lane_index() < count ? x : broadcast(other); }

// A NaN stays one.
inline Vec larger(Vec a, Vec b) { return (a > b) | (a != a) ? a : b; }
inline Vec smaller(Vec a, Vec b) { return (a < b) | (a != a) ? a : b; }

inline float largest(Vec x) {
    float found = x[0];
    for (int lane = 1; lane < LANES; lane++) found = (x[lane] > found) | (x[lane] != x[lane]) ? x[lane] : found;
    return found;
}

template <class F>
inline Vec each_lane(Vec x, F f) {
    for (int lane = 0; lane < LANES; lane++) x[lane] = f(x[lane]);
    return x;
}

// Below 1 an odd polynomial, from there 1 - e^(-x^2) erfcx(x), with erfcx a polynomial in 1 / (x + 2); coefficients
// fitted in float64, at most 3 units of the last place (2e6 points in [-5, 5]).
inline Vec erf(Vec x) {
    const Vec t = x * x, a = min(broadcast(4.0f), x < 0.0f ? -x : x), u = 1.0f / (a + 2.0f);
    Vec p = t * -9.641497854e-06f + 1.1256941071e-04f;
    p = p * t - 8.4828276876e-04f;
    p = p * t + 5.2209454589e-03f;
    p = p * t - 2.6865400374e-02f;
    p = p * t + 1.1283782125e-01f;
    p = p * t - 3.7612637877e-01f;
    p = p * t + 1.1283792257f;
    Vec q = u * 15.234169006f - 30.089908600f;
    q = q * u + 17.980081558f;
    q = q * u - 1.6415356398f;
    q = q * u + 2.7789006233f;
    q = q * u + 1.0392049551f;
    q = q * u + 5.6979262829e-01f;
    q = q * u - 1.5319217345e-04f;
    const Vec far = 1.0f - exp(-(a * a)) * q;
    return x != x ? x : (t < 1.0f ? x * p : (x < 0.0f ? -far : far));
}

// Below 0.8 an odd polynomial, fitted in the same way.
inline Vec hyperbolic_tangent(Vec x) {
    const Vec t = x * x;
    Vec p = t * 1.5676548937e-03f - 7.3740812950e-03f;
    p = p * t + 2.1274724975e-02f;
    p = p * t - 5.3841549903e-02f;
    p = p * t + 1.3332022727e-01f;
    p = p * t - 3.3333280683e-01f;
    p = p * t + 1.0f;
    return t < 0.64f ? x * p : 1.0f - 2.0f / (exp(x + x) + 1.0f);
}

// f(j, count) for each vector of a row; count < LANES only in the last.
template <class F>
inline void for_vectors(int64_t C, F f) {
    int64_t j = 0;
    for (; j + LANES <= C; j += LANES) f(j, LANES);
    if (j < C) f(j, static_cast<int>(C - j));
}

}  // namespace
"""
