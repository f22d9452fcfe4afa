"""The language of Triton's device functions: triton.language, arithmetic and control flow, nothing that looks outside.

Clocks, printing, inline assembly and foreign functions are refused: they tell nothing about the result, and much about
who is watching. Atomics are allowed; whether the result is then the same every time is another gate's question.
"""

import ast

from kernelsearch.build.host_grammar import (
    OPERATORS,
    Rules,
    Scope,
    check_arguments,
    check_expression,
    not_allowed,
    root_name,
    shown,
)
from kernelsearch.build.host_source import refuse, words

DTYPES = words(
    "float16 bfloat16 float32 float64 float8e4nv float8e5 int1 int8 int16 int32 int64 uint8 uint16 uint32 uint64"
)
MATHEMATICS = words(
    "exp exp2 log log2 sqrt sqrt_rn rsqrt sin cos abs floor ceil erf fma div_rn umulhi fdiv sigmoid softmax cdiv"
)
FUNCTIONS = MATHEMATICS | words(
    "program_id num_programs load store arange zeros zeros_like full dot dot_scaled where sum max min argmax "
    "argmin xor_sum reduce associative_scan cumsum cumprod maximum minimum clamp cast broadcast broadcast_to "
    "expand_dims reshape view ravel permute trans join split interleave flip cat swizzle2d gather sort topk "
    "histogram make_block_ptr advance make_tensor_descriptor multiple_of max_contiguous max_constancy assume "
    "static_assert atomic_add atomic_max atomic_min atomic_and atomic_or atomic_xor atomic_xchg atomic_cas "
    "debug_barrier constexpr static_range range"
)
METHODS = words(
    "to cast sum max min argmax argmin trans permute reshape view broadcast_to expand_dims exp log sqrt abs store "
    "load is_fp32 is_fp16 is_bf16 is_floating"
)
ATTRIBUTES = words("dtype shape type T element_ty value primitive_bitwidth")
BUILTINS = words("range min max abs int float len")
TEXTS = words("cache_modifier eviction_policy padding_option volatile input_precision sem scope fp_downcast_rounding")
LOOPS = frozenset(("range", "static_range"))
INSTEAD = {
    "inline_asm_elementwise": "write it with tl functions, or as a CUDA candidate without asm",
    "extra": "libdevice and clocks are out of reach; write it with tl, for example tanh(x) = 2 * tl.sigmoid(2 * x) - 1",
    "device_print": "delete it; a mismatch is reported with its smallest case",
    "device_assert": "delete it; a mismatch is reported with its smallest case",
    "rand": "a kernel's result depends on its inputs alone",
    "randn": "a kernel's result depends on its inputs alone",
}
_NODES: frozenset[type[ast.stmt]] = frozenset(
    {ast.Assign, ast.AugAssign, ast.AnnAssign, ast.If, ast.For, ast.While, ast.Return, ast.Expr, ast.Pass}
)


def language_name(node: ast.Attribute) -> str | None:
    """The X of `tl.X` and `tl.math.X`, if the attribute is one."""
    match node.value:
        case ast.Name(id="tl"):
            return node.attr
        case ast.Attribute(value=ast.Name(id="tl"), attr="math") if node.attr in MATHEMATICS:
            return node.attr
    return None


def _read(node: ast.Name, scope: Scope) -> None:
    kind = scope.kind(node.id)
    if kind in ("local", "constexpr"):
        return
    if kind in ("constant", "tunable"):
        way = f"pass it as an argument `{node.id}: tl.constexpr`"
        raise refuse(node.lineno, f"`{node.id}` is a global that a kernel cannot see", way)
    raise refuse(node.lineno, f"`{node.id}` is not a value here", "pass it as an argument")


def _attribute(node: ast.Attribute, scope: Scope) -> None:
    name = language_name(node)
    if name in DTYPES:
        return
    if root_name(node) == "tl":
        way = _way_out(node)
        raise refuse(node.lineno, f"`{shown(node)}` is not allowed in a kernel", way)
    if node.attr not in ATTRIBUTES:
        raise refuse(node.lineno, f"the attribute `.{node.attr}`", f"known are {', '.join(sorted(ATTRIBUTES))}")
    check_expression(node.value, scope, RULES)


def _call(node: ast.Call, scope: Scope) -> None:
    match node.func:
        case ast.Name(id=name) if name in BUILTINS and scope.kind(name) == "builtin":
            check_arguments(node, scope, RULES)
        case ast.Name(id=name) if scope.kind(name) == "kernel":
            check_arguments(node, scope, RULES)
        case ast.Name(id=name):
            raise refuse(node.lineno, f"calling `{name}`", "call tl functions, or a @triton.jit function defined above")
        case ast.Attribute() as function if root_name(function) == "tl":
            _call_language(node, function, scope)
        case ast.Attribute(attr=method, value=value) if method in METHODS:
            check_expression(value, scope, RULES)
            check_arguments(node, scope, RULES, texts=TEXTS)
        case ast.Attribute(attr=method):
            raise refuse(node.lineno, f"calling `.{method}(...)`", f"known are {', '.join(sorted(METHODS))}")
        case _:
            raise refuse(node.lineno, f"calling `{shown(node.func)}`", "call functions by their name")


def _call_language(node: ast.Call, function: ast.Attribute, scope: Scope) -> None:
    name = language_name(function)
    if name not in FUNCTIONS:
        raise refuse(node.lineno, f"`{shown(function)}` is not allowed in a kernel", _way_out(function))
    arguments = list(node.args)
    if name in ("reduce", "associative_scan"):  # their third argument is a function
        arguments = [a for a in arguments if not (isinstance(a, ast.Name) and scope.kind(a.id) == "kernel")]
    if name == "static_assert":
        arguments = arguments[:1]
    check_arguments(ast.Call(function, arguments, node.keywords, lineno=node.lineno), scope, RULES, texts=TEXTS)


def _way_out(node: ast.Attribute) -> str:
    parts = ast.unparse(node).split(".")
    for part in parts[1:]:
        if part in INSTEAD:
            return INSTEAD[part]
    return "use the functions of triton.language that compute, load and store"


def _loop(node: ast.For, scope: Scope) -> None:
    call = node.iter
    is_range = isinstance(call, ast.Call) and (
        (isinstance(call.func, ast.Name) and call.func.id == "range")
        or (isinstance(call.func, ast.Attribute) and language_name(call.func) in LOOPS)
    )
    if not is_range:
        raise refuse(node.lineno, f"a loop over `{shown(call)}`", "loop over range, tl.range or tl.static_range")
    check_expression(call, scope, RULES)


def _bare(node: ast.expr, scope: Scope) -> None:
    if not isinstance(node, ast.Call):
        raise not_allowed(ast.Expr(node, lineno=node.lineno), RULES.place)
    check_expression(node, scope, RULES)


def _is_annotation(node: ast.expr) -> bool:
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
    return text in ("tl.constexpr", "tl.tensor") or text.removeprefix("tl.") in DTYPES


RULES = Rules("a kernel", _NODES, OPERATORS, _read, _attribute, _call, _loop, _bare, _is_annotation)
