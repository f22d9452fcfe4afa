"""The host language: shape arithmetic, allocation, launches, and a short list of torch's own operations.

It always ends (bounded loops, no recursion), keeps nothing between calls, and never learns addresses, time or streams.
Allowed torch operations are those that training itself would call around a kernel: products of matrices, for which
nobody expects a new kernel, reductions of partial results, and views.
"""

import ast
from collections.abc import Mapping

from kernelsearch.build.host_grammar import (
    MODULES,
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

DTYPES = words("float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool")
TORCH = words(
    "empty empty_like zeros zeros_like full full_like "  # outputs and scratch
    "mm matmul bmm addmm baddbmm "  # the library's products
    "sum amax amin"  # of partial results
)
MATHEMATICS = words("sqrt exp exp2 log log2 log10 floor ceil pow sin cos tan tanh isqrt gcd prod")
NUMBERS = words("pi e inf tau")
TRITON = frozenset(("cdiv", "next_power_of_2"))
METHODS = words(
    "size stride dim numel element_size is_contiguous contiguous view reshape transpose permute t flatten "
    "unsqueeze squeeze expand narrow to float sum new_empty new_zeros bit_length"
)
ATTRIBUTES = words("shape dtype device ndim T mT itemsize")
BUILTINS = words("min max abs int float bool len round")
KEYWORDS = words("device dtype dim keepdim size fill_value beta alpha")  # not out, pin_memory, requires_grad
LAUNCH_KEYWORDS = words("num_warps num_stages num_ctas maxnreg")
INSTEAD = {
    "data_ptr": "pass the tensor itself to the kernel",
    "untyped_storage": "pass the tensor itself to the kernel",
    "storage": "pass the tensor itself to the kernel",
    "item": "reading a value stops the device; keep it in a tensor and load it in the kernel",
    "tolist": "reading values stops the device; keep them in a tensor and load them in the kernel",
    "cpu": "everything stays on the device of the inputs",
    "cuda": "streams, events and graphs are the launcher's; launch kernels in the order they must run",
    "compile": "write the kernel",
    "zero_": "allocate with torch.zeros, or write in a kernel",
    "fill_": "allocate with torch.full, or write in a kernel",
    "copy_": "write in a kernel",
}
_NODES: frozenset[type[ast.stmt]] = frozenset(
    {ast.Assign, ast.AnnAssign, ast.If, ast.For, ast.Return, ast.Expr, ast.Pass, ast.Break, ast.Continue}
)


def _read(node: ast.Name, scope: Scope) -> None:
    kind = scope.kind(node.id)
    if kind in ("local", "constant", "constexpr", "tunable"):
        return
    if node.id in MODULES or kind is not None:
        raise refuse(node.lineno, f"`{node.id}` as a value", "use it where it is called or launched only")
    raise refuse(node.lineno, f"`{node.id}` is not defined here", "define it above, or take it from the arguments")


def _attribute(node: ast.Attribute, scope: Scope) -> None:
    match node.value:
        case ast.Name(id="torch") if node.attr in DTYPES:
            return
        case ast.Name(id="math") if node.attr in NUMBERS:
            return
        case _ if root_name(node) in MODULES:
            raise refuse(node.lineno, f"`{shown(node)}` in a host function", _way_out(node))
    if node.attr not in ATTRIBUTES:
        way = INSTEAD.get(node.attr, f"known are {', '.join(sorted(ATTRIBUTES))}")
        raise refuse(node.lineno, f"the attribute `.{node.attr}`", way)
    check_expression(node.value, scope, RULES)


def _call(node: ast.Call, scope: Scope) -> None:
    match node.func:
        case ast.Name(id=name) if scope.kind(name) == "host" or (name in BUILTINS and scope.kind(name) == "builtin"):
            check_arguments(node, scope, RULES)
        case ast.Name(id="launch"):
            raise refuse(node.lineno, "`launch` as a value", "write launch(...) on a line of its own")
        case ast.Name(id="range"):
            raise refuse(node.lineno, "`range` outside a loop", "write `for i in range(n)`")
        case ast.Name(id=name):
            raise refuse(node.lineno, f"calling `{name}`", "call a function defined above, or one the contract lists")
        case ast.Attribute(value=ast.Name(id=module), attr=name) if module in MODULES:
            if name not in _of_module(module):
                raise refuse(node.lineno, f"calling `{module}.{name}`", _way_out(node.func))
            _check_keywords(node)
            check_arguments(node, scope, RULES)
        case ast.Attribute() as function if root_name(function) in MODULES:
            raise refuse(node.lineno, f"calling `{shown(function)}`", _way_out(function))
        case ast.Attribute(value=value, attr=method):
            _call_method(node, value, method, scope)
        case ast.Subscript():
            raise refuse(node.lineno, "a launch inside an expression", "launch on a line of its own")
        case _:
            raise refuse(node.lineno, f"calling `{shown(node.func)}`", "call functions by their name")


def _call_method(node: ast.Call, value: ast.expr, method: str, scope: Scope) -> None:
    if method not in METHODS:
        way = INSTEAD.get(method, f"known are {', '.join(sorted(METHODS))}")
        raise refuse(node.lineno, f"calling `.{method}(...)`", way)
    check_expression(value, scope, RULES)
    _check_keywords(node)
    check_arguments(node, scope, RULES)


def _check_keywords(node: ast.Call) -> None:
    for keyword in node.keywords:
        if keyword.arg is not None and keyword.arg not in KEYWORDS:
            way = f"known are {', '.join(sorted(KEYWORDS))}"
            raise refuse(node.lineno, f"`{keyword.arg}=` of `{shown(node.func)}`", way)


def _of_module(module: str) -> frozenset[str]:
    return {"torch": TORCH, "math": MATHEMATICS, "triton": TRITON, "tl": frozenset[str]()}[module]


def _way_out(node: ast.expr) -> str:
    module, name, *_ = ast.unparse(node).split(".")
    known = ", ".join(sorted(_of_module(module))) or "none in a host function"
    return INSTEAD.get(name, f"of {module}, known are {known}")


def _loop(node: ast.For, scope: Scope) -> None:
    match node.iter:
        case ast.Call(func=ast.Name(id="range")) as call:
            check_arguments(call, scope, RULES)
        case ast.Tuple(elts=elements):
            for element in elements:
                check_expression(element, scope, RULES)
        case other:
            raise refuse(node.lineno, f"a loop over `{shown(other)}`", "loop over range(...) or a tuple written out")


def _bare(node: ast.expr, scope: Scope) -> None:
    match node:
        case ast.Call(func=ast.Subscript(value=ast.Name(id=kernel), slice=grid)):
            _launch_triton(node, kernel, grid, scope)
        case ast.Call(func=ast.Name(id="launch")) if scope.kind("launch") == "launch":
            _launch_cuda(node, scope)
        case ast.Call(func=ast.Name(id=name)) if scope.kind(name) == "host":
            check_expression(node, scope, RULES)
        case ast.Call():
            check_expression(node, scope, RULES)
            raise refuse(node.lineno, f"the result of `{shown(node)}` is not used", "assign it, or delete the line")
        case _:
            raise not_allowed(ast.Expr(node, lineno=node.lineno), RULES.place)


def _launch_triton(node: ast.Call, kernel: str, grid: ast.expr, scope: Scope) -> None:
    if scope.kind(kernel) != "kernel":
        raise refuse(node.lineno, f"launching `{kernel}`", "launch a @triton.jit function that is defined above")
    known = scope.parameters[kernel]
    for keyword in node.keywords:
        if keyword.arg is not None and keyword.arg not in {*known, *LAUNCH_KEYWORDS}:
            way = f"its arguments are {', '.join(known)}, and {', '.join(sorted(LAUNCH_KEYWORDS))}"
            raise refuse(node.lineno, f"`{kernel}` has no argument `{keyword.arg}`", way)
    if len(node.args) > len(known):
        raise refuse(node.lineno, f"`{kernel}` takes {len(known)} arguments", "pass as many as it has")
    check_expression(grid, scope, RULES)
    check_arguments(node, scope, RULES)


def _launch_cuda(node: ast.Call, scope: Scope) -> None:
    """launch(SOURCE, "kernel", grid, block, (arguments...), shared_bytes=n)"""
    form = 'write launch(SOURCE, "kernel", grid, block, (arguments,), shared_bytes=n)'
    if len(node.args) != 5 or any(k.arg != "shared_bytes" for k in node.keywords):
        raise refuse(node.lineno, "a launch of another form", form)
    source, name, grid, block, arguments = node.args
    if not isinstance(source, ast.Name) or scope.kind(source.id) != "cuda":
        raise refuse(node.lineno, f"`{shown(source)}` holds no CUDA source", form)
    kernels: Mapping[str, tuple[str, ...]] = scope.parameters
    if not isinstance(name, ast.Constant) or name.value not in kernels[source.id]:
        way = f"{source.id} defines {', '.join(kernels[source.id]) or 'none'}"
        raise refuse(node.lineno, f"{shown(name)} is not a __global__ function", way)
    if not isinstance(arguments, ast.Tuple):
        raise refuse(node.lineno, "the kernel's arguments are not a tuple written out", form)
    for value in (grid, block, arguments, *(k.value for k in node.keywords)):
        check_expression(value, scope, RULES)


def _is_annotation(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="int" | "float" | "bool") | ast.Constant(value=None):
            return True
        case ast.Attribute(value=ast.Name(id="torch"), attr="Tensor"):
            return True
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=elements)):
            return all(_is_annotation(e) or (isinstance(e, ast.Constant) and e.value is ...) for e in elements)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=element):
            return _is_annotation(element)
    return False


RULES = Rules("a host function", _NODES, OPERATORS, _read, _attribute, _call, _loop, _bare, _is_annotation)
