"""The allow-list for Triton and CUDA files: honest files pass however they look, everything else names its line."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.errors import ContractError
from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec

ENTRIES = {"f_forward": ("x", "scale"), "f_backward": ("x", "y", "dy", "scale")}

TRITON = '''"""Scaled rows, one program a row."""
import torch
import triton
import triton.language as tl
import math

TUNE = {"BLOCK": [64, 128], "WARPS": [4, 8]}
LOG2E: tl.constexpr = 1.4426950408889634
EPS = 1e-6
TWICE = 2 * EPS


@triton.jit
def helper(a):
    return a * LOG2E


@triton.jit
def kernel(x, y, stride, n, scale, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < n
        value = tl.load(x + row * stride + at, mask=mask, other=0.0).to(tl.float32)
        total += value
        tl.store(y + row * stride + at, helper(value) * scale, mask=mask)


def f_forward(x, scale):
    rows, n = x.shape
    y = torch.empty_like(x)
    grid = (rows,)
    kernel[grid](x, y, x.stride(0), n, scale, BLOCK=BLOCK, num_warps=WARPS)
    return y


def f_backward(x, y, dy, scale):
    dx = torch.empty(x.shape, device=x.device, dtype=x.dtype)
    kernel[(triton.cdiv(x.shape[0], 1),)](dy, dx, x.stride(0), x.shape[1], scale, BLOCK=BLOCK, num_warps=WARPS)
    return dx
'''

CUDA = '''"""Scaled rows in CUDA C."""
import torch
import math

TUNE = {"THREADS": [128, 256]}
SOURCE = r"""
#include <cuda_fp16.h>
#define MAXIMUM(a, b) ((a) > (b) ? (a) : (b))
// asm volatile is only a word in this comment, and so is clock64()
constexpr int WARP = 32;
__constant__ constexpr float TABLE[2] = {0.5f, 2.0f};
struct Pair { float a, b; };
using pair_t = Pair;
template <typename T> __device__ __forceinline__ T twice(T a) { return a + a; }
__device__ float sum_warp(float value) {
    #pragma unroll
    for (int d = WARP / 2; d > 0; d >>= 1) value += __shfl_xor_sync(0xffffffffu, value, d);
    return value;
}
extern "C" {
__global__ void __launch_bounds__(THREADS) kernel(const float* __restrict__ x, float* y, int n, float scale) {
    extern __shared__ float tile[];
    static_assert(THREADS % 32 == 0, "whole warps");
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = twice(__ldg(x + i)) * scale;
    __syncthreads();
    atomicAdd(y, 0.0f);
}
}
"""


def f_forward(x, scale):
    y = torch.empty_like(x)
    n = x.numel()
    launch(SOURCE, "kernel", ((n + THREADS - 1) // THREADS,), (THREADS,), (x, y, n, scale), shared_bytes=4 * THREADS)
    return y


def f_backward(x, y, dy, scale):
    dx = torch.empty_like(x)
    launch(SOURCE, "kernel", (x.shape[0], 1, 1), (THREADS,), (dy, dx, x.numel(), scale))
    return dx
'''

BODY = "    row = tl.program_id(0)\n"
HOST = "    y = torch.empty_like(x)\n"


def lint(text: str, language: str) -> None:
    lint_host(text, language, ENTRIES)


def changed(old: str, new: str, text: str = TRITON) -> str:
    assert old in text
    return text.replace(old, new, 1)


def in_kernel(line: str) -> str:
    return changed(BODY, f"{BODY}    {line}\n")


def in_host(line: str) -> str:
    return changed(HOST, f"{HOST}    {line}\n")


def at_top(line: str) -> str:
    return changed("EPS = 1e-6\n", f"EPS = 1e-6\n{line}\n")


def in_cuda_kernel(line: str) -> str:
    return changed("    __syncthreads();\n", f"    __syncthreads();\n    {line}\n", CUDA)


def in_cuda(line: str) -> str:
    return changed("struct Pair", f"{line}\nstruct Pair", CUDA)


HONEST_TRITON = {
    "the file itself": TRITON,
    "a variable called stream": in_host("stream = x.shape[0]"),
    "a variable called cache": in_host("cache = torch.empty((4,), device=x.device, dtype=torch.float32)"),
    "a variable called event_time": in_kernel("event_time = row * 2"),
    "a comment about synchronize": at_top("# torch.cuda.synchronize() is not needed, nor os.system"),
    "a docstring about exec": changed("one program a row", "one program a row, no exec(), no __import__"),
    "other letters in a comment": at_top("# \u00b5s, \u2264 and \u2192 are fine here"),
    "a mask times zero": in_kernel("nothing = (row < n) * 0"),
    "a tile times zero": in_kernel("tile = tl.zeros([BLOCK], dtype=tl.float32) * 0.0"),
    "zeros": changed("torch.empty_like(x)", "torch.zeros_like(x)"),
    "atomics": in_kernel("tl.atomic_add(y + row, 0.0, sem='relaxed')"),
    "a device loop": in_kernel("while n > 2 * BLOCK:\n        n = n // 2"),
    "a static loop": in_kernel("for k in tl.static_range(4):\n        row = row + 0 * k"),
    "a hint": in_kernel("aligned = tl.multiple_of(stride, 16)"),
    "a cache modifier": in_kernel('v = tl.load(x + row, cache_modifier=".ca", eviction_policy="evict_last")'),
    "one reduction": in_kernel("m = tl.reduce(tl.arange(0, BLOCK), 0, helper)"),
    "tf32 off": in_kernel(
        'p = tl.dot(tl.zeros([16, 16], tl.float16), tl.zeros([16, 16], tl.float16), input_precision="ieee")'
    ),
    "a 2D mask": in_kernel("m2 = tl.arange(0, BLOCK)[:, None] < tl.arange(0, BLOCK)[None, :]"),
    "a library product": in_host("gram = torch.mm(x, x.t())"),
    "a branch on dtype": in_host("wide = 2 if x.dtype == torch.bfloat16 else 4"),
    "a branch on shape": in_host("if n > 4096:\n        grid = (rows, 2)\n    else:\n        grid = (rows, 1)"),
    "a loop over widths": in_host("for width in (64, 32):\n        n2 = width * 2"),
    "scratch memory": in_host(
        "part = torch.zeros((rows, triton.cdiv(n, BLOCK)), device=x.device, dtype=torch.float32)"
    ),
    "math": in_host("factor = 1.0 / math.sqrt(n)"),
    "a jit with arguments": changed("@triton.jit\ndef kernel", '@triton.jit(do_not_specialize=["n"])\ndef kernel'),
    "annotations": changed("def f_forward(x, scale):", "def f_forward(x: torch.Tensor, scale: float) -> torch.Tensor:"),
    "saved tensors": at_top('SAVES = {"lse": ("float32", "N")}'),
}
HONEST_CUDA = {
    "the file itself": CUDA,
    "a digit separator": in_cuda_kernel("int many = 1'000;"),
    "a word in a literal": in_cuda_kernel("char c = '\\'';"),
    "a macro over two lines": in_cuda("#define ADD(a, b) \\\n    ((a) + (b))"),
    "an arch branch": in_cuda_kernel(
        "i += 0;\n#if __CUDA_ARCH__ >= 800\n    i += 1;\n#else\n    i += 2;\n#endif\n    i += 3;"
    ),
    "a variable called asm_count": in_cuda_kernel("int asm_count = 0, clock_rate = 1, streams = 2;"),
    "static constexpr": in_cuda_kernel("static constexpr int K = 4;"),
    "a namespace": in_cuda("namespace detail { __device__ int one() { return 1; } }"),
}

REFUSED = {
    # the top level
    "another import": (at_top("import os"), "import os"),
    "an import by another name": (changed("import math\n", "import math as m\n"), "import math as m"),
    "from torch import": (at_top("from torch import cuda"), "from torch import cuda"),
    "a module that is not imported": (
        changed("import math\n", "").replace(HOST, HOST + "    s = math.sqrt(2.0)\n"),
        "not imp",
    ),
    "a call at the top": (at_top("torch.manual_seed(0)"), "top level"),
    "a mutable constant": (at_top("CACHE = {}"), "change between calls"),
    "a list constant": (at_top("SIZES = [1, 2]"), "change between calls"),
    "a tensor constant": (at_top("T = torch.zeros(4)"), "as a constant"),
    "a class": (at_top("class Model:\n    pass"), "top level"),
    "a top-level if": (at_top("if EPS:\n    A = 1"), "top level"),
    "a top-level try": (at_top("try:\n    import os\nexcept ImportError:\n    pass"), "top level"),
    "a text": (at_top('TEXT = "hello"'), "the string"),
    "a huge constant": (at_top("BIG = 10 ** 10 ** 10"), "as a constant"),
    "defined twice": (at_top("TWICE = 3"), "defined twice"),
    "a name that hides torch": (at_top("torch = 3"), "hide"),
    "a dunder constant": (at_top("__all__ = 3"), "underscores"),
    # decorators and functions
    "autotune": (
        changed("@triton.jit\ndef kernel", "@triton.autotune(configs=[], key=[])\n@triton.jit\ndef kernel"),
        "TUNE",
    ),
    "heuristics": (changed("@triton.jit\ndef kernel", "@triton.heuristics({})\ndef kernel"), "TUNE"),
    "a host decorator": (changed("def f_forward", "@torch.compile\ndef f_forward"), "decorator"),
    "debug of jit": (changed("@triton.jit\ndef kernel", "@triton.jit(debug=True)\ndef kernel"), "debug"),
    "a star argument": (changed("def f_forward(x, scale)", "def f_forward(*x)"), "star"),
    "a mutable default": (changed("def helper(a)", "def helper(a, b=[])"), "default"),
    "async": (changed("def f_forward", "async def f_forward"), "top level"),
    "recursion": (in_host("z = f_forward(x, scale)"), "calling `f_forward`"),
    "recursion on the device": (changed("return a * LOG2E", "return helper(a)"), "calling `helper`"),
    "another argument": (
        changed("def f_forward(x, scale)", "def f_forward(x, factor)").replace(
            "scale, BLOCK=BLOCK", "1.0, BLOCK=BLOCK", 1
        ),
        r"f_forward\(x, scale\)",
    ),
    "a missing function": (changed("def f_backward", "def g_backward"), "f_backward is missing"),
    "no launch": (TRITON.replace("    kernel[", "    # kernel["), "never launched"),
    # host functions
    "try": (in_host("try:\n        n = 1\n    except ValueError:\n        n = 2"), "`try`"),
    "with": (in_host("with torch.no_grad():\n        n = 1"), "`with`"),
    "while": (in_host("while n:\n        n = n - 1"), "`while`"),
    "lambda": (in_host("grid = lambda meta: (1,)"), "`lambda`"),
    "walrus": (in_host("n = (m := 4)"), "`:=`"),
    "global": (in_host("global EPS"), "`global`"),
    "an inner function": (in_host("def g():\n        return 1"), "inside a function"),
    "an inner import": (in_host("import os"), "inside a function"),
    "a comprehension": (in_host("s = [k for k in x.shape]"), "comprehension"),
    "a generator": (in_host("s = max(k for k in x.shape)"), "generator"),
    "an f-string": (in_host("s = f'{n:>10}'"), "f-string"),
    "a dict": (in_host("s = {}"), "a dict"),
    "getattr": (in_host("s = getattr(x, 'shape')"), "calling `getattr`"),
    "eval": (in_host("s = eval('1')"), "calling `eval`"),
    "open": (in_host("s = open('/etc/passwd')"), "calling `open`"),
    "print": (in_host("print(n)"), "calling `print`"),
    "a dunder attribute": (in_host("s = x.__class__"), r"\.__class__"),
    "a dunder of a function": (in_host("s = f_forward.__globals__"), "__globals__"),
    "an attribute assignment": (in_host("x.cached = y"), "attribute"),
    "an element assignment": (in_host("y[0] = 1"), "assigning to"),
    "in place": (in_host("y += 1"), "AugAssign"),
    "del": (in_host("del n"), "`del`"),
    "assert": (in_host("assert n > 0"), "`assert`"),
    "a starred call": (in_host("s = torch.empty(*x.shape)"), "star argument"),
    "star keywords": (in_host("s = torch.empty(4, **n)"), "star argument"),
    "data_ptr": (in_host("s = x.data_ptr()"), "data_ptr"),
    "untyped_storage": (in_host("s = x.untyped_storage()"), "untyped_storage"),
    "a stream": (in_host("s = torch.cuda.Stream()"), "streams"),
    "synchronize": (in_host("torch.cuda.synchronize()"), "streams"),
    "an event": (in_host("s = torch.cuda.Event"), "streams"),
    "a graph": (in_host("s = torch.cuda.CUDAGraph()"), "streams"),
    "compile": (in_host("s = torch.compile"), "torch.compile"),
    "softmax of torch": (in_host("s = torch.softmax(x, -1)"), "torch.softmax"),
    "torch.ops": (in_host("s = torch.ops.aten.mm(x, x)"), "torch.ops"),
    "item": (in_host("s = x.sum().item()"), "stops the device"),
    "an in-place method": (in_host("s = y.zero_()"), "zero_"),
    "pinned memory": (in_host("s = torch.empty((4,), pin_memory=True)"), "pin_memory"),
    "an out argument": (in_host("s = torch.mm(x, x, out=x)"), "out="),
    "an asynchronous copy": (in_host("s = x.to(torch.float32, non_blocking=True)"), "non_blocking"),
    "a function as a value": (in_host("make = torch.empty"), "torch.empty"),
    "a module as a value": (in_host("t = torch"), "as a value"),
    "a name that hides": (in_host("math = 3"), "hide"),
    "a local that hides a global": (in_host("TWICE = 3"), "already defined"),
    "an unknown name": (in_host("s = undefined"), "not defined"),
    "a loop over a tensor": (in_host("for row in x:\n        n = 1"), "a loop over"),
    "another launch": (in_host("f_backward[grid](x)"), "launching"),
    "an unknown launch keyword": (
        changed("num_warps=WARPS)\n    return y", "warmup=True)\n    return y"),
        "no argument `warmup`",
    ),
    "a launch as a value": (in_host("s = kernel[(1,)](x, y, 1, n, scale, BLOCK=BLOCK)"), "line of its own"),
    "an unused result": (in_host("torch.empty(4)"), "not used"),
    # kernels
    "inline assembly": (in_kernel('v = tl.inline_asm_elementwise("", "", [], tl.int32, True, 1)'), "inline_asm"),
    "libdevice": (in_kernel("v = tl.extra.cuda.libdevice.tanh(n)"), "sigmoid"),
    "a clock": (in_kernel("v = tl.extra.cuda.globaltimer()"), "clocks"),
    "device_print": (in_kernel('tl.device_print("n", n)'), "device_print"),
    "print in a kernel": (in_kernel("print(n)"), "calling `print`"),
    "an unknown tl function": (in_kernel("v = tl.core.static_print(n)"), "tl.core"),
    "a tunable in a kernel": (in_kernel("v = WARPS"), "pass it as an argument"),
    "a plain global in a kernel": (in_kernel("v = EPS"), "tl.constexpr"),
    "torch in a kernel": (in_kernel("v = torch.empty(4)"), "calling"),
    "a kernel below": (in_kernel("v = below(n)") + "\n\n@triton.jit\ndef below(a):\n    return a\n", "calling `below`"),
    "a bare value in a kernel": (in_kernel("row"), "Expr"),
    # text
    "a zero byte": (at_top("A = 1 \x00"), "U\\+0000"),
    "text that runs backwards": (at_top("# \u202e"), "U\\+202E"),
    "a byte order mark": ("\ufeff" + TRITON, "U\\+FEFF"),
    "letters that look like ASCII": (in_host("t = \uff54orch_"), "not ASCII"),
    "another encoding": ("# -*- coding: utf-7 -*-\n" + TRITON, "coding"),
    "a lone carriage return": (at_top("A = 1\rB = 2"), "U\\+000D"),
    "a syntax error": (at_top("def ("), "not Python"),
    "too long": (TRITON + "#" * 200_000, "characters"),
    "deep brackets": (at_top("A = " + "(" * 5000 + "1" + ")" * 5000), "line"),
    "a deep chain": (at_top("A = " + "-" * 30_000 + "1"), "nest|parsed"),
    "a deep sum": (at_top("A = " + "1+" * 30_000 + "1"), "nest|parsed|nodes"),
    "a deep call": (in_host("s = n" + ".sum()" * 9_000), "nest|parsed|nodes"),
    "many nodes": (at_top("A = (" + "1," * 30_000 + ")"), "nodes"),
    "a long number": (at_top("A = " + "9" * 9_000), "not Python|parsed"),
}

REFUSED_CUDA = {
    "asm": (in_cuda_kernel('asm volatile("nop;");'), "asm"),
    "asm in pieces": (in_cuda_kernel("as\\\nm(0);"), "`asm`"),
    "asm behind a separator": (in_cuda_kernel("int a = 1'000; asm(0); int b = 1'000;"), "`asm`"),
    "asm by a macro": (in_cuda("#define A as ## m"), "##"),
    "asm by a digraph": (in_cuda("#define A as %:%: m"), "%:"),
    "asm by a code point": (in_cuda_kernel("\\u0061sm(0);"), "foreign"),
    "asm behind a raw string": (in_cuda_kernel('const char* s = R"x(")x"; asm(0); //"'), "raw string|string"),
    "asm behind a carriage return": (
        in_cuda_kernel("// \\r asm(0);").replace('SOURCE = r"""', 'SOURCE = """'),
        "control character",
    ),
    "asm by adjacent strings": (
        changed('SOURCE = r"""', 'SOURCE = "__device__ void g() { as" "m(0); }" r"""', CUDA),
        "`asm`",
    ),
    "asm by an escape": (
        changed('SOURCE = r"""', 'SOURCE = "__device__ void g() { \\x61sm(0); }" r"""', CUDA),
        "`asm`",
    ),
    "__asm__": (in_cuda_kernel("__asm__(0);"), "__asm__"),
    "clock64": (in_cuda_kernel("long long t = clock64();"), "clock64"),
    "a register clock": (in_cuda_kernel("long long t = __nvvm_read_ptx_sreg_clock64();"), "intrinsics"),
    "globaltimer": (in_cuda_kernel("long long t = globaltimer();"), "globaltimer"),
    "nanosleep": (in_cuda_kernel("__nanosleep(100);"), "waits"),
    "printf": (in_cuda_kernel('printf("x");'), "printf"),
    "malloc": (in_cuda_kernel("void* p = malloc(4);"), "malloc"),
    "new": (in_cuda_kernel("int* p = new int;"), "`new`"),
    "a launch from the device": (in_cuda_kernel("kernel<<<1, 1>>>(x, y, n, scale);"), "device"),
    "the runtime": (in_cuda_kernel("cudaDeviceSynchronize();"), "runtime"),
    "a file": (in_cuda('#include "/etc/passwd"'), "include"),
    "another header": (in_cuda("#include <cstdio>"), "include"),
    "another pragma": (in_cuda("#pragma nv_diag_suppress 177"), "pragma"),
    "a device variable": (in_cuda("__device__ int counter;"), "state between calls"),
    "a device variable with a value": (in_cuda("__device__ int counter = 0;"), "state between calls"),
    "a device variable with braces": (in_cuda("__device__ int (counter){0};"), "state between calls"),
    "a device array": (in_cuda("__device__ float cache[1024];"), "state between calls"),
    "a managed variable": (in_cuda("__managed__ int counter;"), "state between calls"),
    "constant memory that can change": (in_cuda("__constant__ float table[4];"), "state between calls"),
    "a static local": (in_cuda_kernel("static int calls;"), "static"),
    "a static local behind a macro": (
        in_cuda_kernel("static EAT(constexpr) int calls;"),
        "static",
    ),
    "constexpr renamed": (in_cuda("#define constexpr"), "name of its own"),
    "a macro that declares": (in_cuda("#define STATE __device__ int counter;"), "declares"),
    "a macro that ends a declaration": (
        in_cuda("#define END(x) x;\n__device__ END(int counter) float g() { return 1; }"),
        "file scope",
    ),
    "the same through another macro": (
        in_cuda("#define A(x) B(x)\n#define B(x) x;\n__device__ A(int counter) float g() { return 1; }"),
        "file scope",
    ),
    "hidden by #if": (
        in_cuda("__device__ int n\n#if 0\n(int a) {} constexpr int q\n#endif\n= 1;"),
        "inside a statement",
    ),
    "brackets in #if": (
        in_cuda("__device__ void g() {\n#if 0\n{\n#endif\n}\n__device__ int counter;\n#if 0\n}\n#endif"),
        "inside a statement",
    ),
    "a static in a type": (in_cuda("struct S { static inline __device__ int (n){0}; };"), "static"),
    "an open #if": (changed('}\n"""', '}\n#if 0\n"""', CUDA), "endif"),
    "an open literal": (in_cuda_kernel("int a = 'x;"), "literal"),
    "other letters": (in_cuda_kernel("int \u0430sm = 0;"), "ASCII"),
    "an import of triton": (changed("import math", "import triton", CUDA), "imports of a cuda"),
    "no such kernel": (changed('launch(SOURCE, "kernel"', 'launch(SOURCE, "other"', CUDA), "not a __global__"),
    "another launch form": (changed(", shared_bytes=4 * THREADS", ", stream=4", CUDA), "another form"),
    "no such source": (changed('launch(SOURCE, "kernel"', 'launch(TUNE, "kernel"', CUDA), "no CUDA source"),
    "source by formatting": (changed('SOURCE = r"""', 'SOURCE = f"""', CUDA), "as a constant|not Python"),
}


@pytest.mark.parametrize("name", HONEST_TRITON)
def test_honest_triton_files_pass_however_they_look(name):
    lint(HONEST_TRITON[name], "triton")


@pytest.mark.parametrize("name", HONEST_CUDA)
def test_honest_cuda_files_pass_however_they_look(name):
    lint(HONEST_CUDA[name], "cuda")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_on_the_list_for_triton_is_refused_with_its_reason(name):
    text, reason = REFUSED[name]
    with pytest.raises(ContractError, match=reason):
        lint(text, "triton")


@pytest.mark.parametrize("name", REFUSED_CUDA)
def test_what_is_not_on_the_list_for_cuda_is_refused_with_its_reason(name):
    text, reason = REFUSED_CUDA[name]
    with pytest.raises(ContractError, match=reason):
        lint(text, "cuda")


def test_a_refusal_names_the_line_and_a_way_out():
    text = in_host("while n:\n        n = n - 1")
    line = text[: text.index("while n:")].count("\n") + 1
    with pytest.raises(ContractError, match=rf"^line {line}: `while` is not allowed in a host function; write `for"):
        lint(text, "triton")


def test_a_refusal_in_cuda_source_names_the_line_of_the_file():
    text = in_cuda("#define ADD(a, b) \\\n    ((a) + (b))\n__device__ int counter;")
    line = text[: text.index("__device__ int counter")].count("\n") + 1
    with pytest.raises(ContractError, match=f"^line {line}: "):
        lint(text, "cuda")


PIECES = [*sorted(set(re.findall(r"\w+|\S|\n", TRITON + CUDA))), "lambda", "__globals__", "\\", '"""', "\u202e"]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([TRITON, CUDA]), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES)))
)
def test_no_mutation_of_a_file_raises_anything_but_a_contract_error(text, edits):
    language = "cuda" if text is CUDA else "triton"
    for place, width, piece in edits:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + width :]
    with contextlib.suppress(ContractError):
        lint(text, language)


def test_python_functions_take_tensors_then_axes_that_no_tensor_shows_then_parameters():
    entry = Entry("f", (Axis("N"), Axis("K")), (TensorSpec("x", ("N",)),), (TensorSpec("y", ("N",)),), lambda s, p: 0.0,
                  lambda s, p: 0.0, parameters=(Parameter("scale", "float"),), gradients=("x",))  # fmt: skip
    found = host_functions(Target("f", "", (entry,), {}), 'SAVES = {"r": ("float32", "N")}\n')
    assert found == {"f_forward": ("x", "K", "scale"), "f_backward": ("x", "y", "r", "dy", "K", "scale")}
