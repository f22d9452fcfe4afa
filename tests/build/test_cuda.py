"""CUDA C as compilers get it: what is rewritten for the emulation, what is refused, and the prelude for a device."""

import pytest

from kernelsearch.build.cuda import cuda_texts, device_text, emulated_text
from kernelsearch.build.cuda_worker import record, usage
from kernelsearch.errors import ContractError
from kernelsearch.spec import read_candidate

KERNEL = 'extern "C" __global__ void f(float* y) {\n    BODY\n}'


def candidate(body: str, before: str = ""):
    text = before + KERNEL.replace("BODY", body)
    return read_candidate("none", "cuda", f'TUNE = {{"WIDTH": [4, 8]}}\nSOURCE = r"""{text}"""\n', "test")


def emulated(body: str, before: str = "") -> str:
    return emulated_text(candidate(body, before), "bfloat16")[0]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("__shared__ float a[4][WIDTH];", "using ks_a_t = float [ 4 ] [ WIDTH ]; ks_a_t& a = "),
        ("__shared__ int n;", "using ks_n_t = int ; ks_n_t& n = "),
        ("__shared__ Pair<int, 4> a[2], b;", "using ks_b_t = Pair < int , 4 > ; ks_b_t& b = "),
        ("__shared__ __align__(128) float a[4];", "sizeof(ks_a_t), ( 128 ))"),
        ("extern __shared__ float a[];", "float* a = static_cast<float*>(ks_cuda_dynamic_shared(3));"),
        ("y[0] += a->b << 1;", "y[0] += a->b << 1;"),
        ("y[0] = 1; // asm", "y[0] = 1;"),
    ],
)
def test_shared_memory_is_rewritten_and_all_else_stays(body, wanted):
    assert wanted in emulated(body)


def test_macros_keep_what_tells_a_function_from_a_value_and_end_with_their_text():
    text = emulated("y[0] = F(1) G;", "#define F(x) x\n#define G (2)\n")
    assert "#define F(x) x\n" in text and "#define G (2)\n" in text
    assert text.index("#undef F") > text.index("y[0] = F(1) G")


def test_kernels_of_two_texts_do_not_meet():
    both = read_candidate("none", "cuda", f'ONE = r"""{KERNEL}"""\nTWO = r"""{KERNEL}"""\n', "test")
    _, kernels = emulated_text(both, "float32")
    assert [(k.text, k.name, k.symbol) for k in kernels] == [("ONE", "f", "ks_kernel_0"), ("TWO", "f", "ks_kernel_1")]


REFUSED = {
    "tensor cores": ("wmma::fragment<int> a;", "", "line 3: `wmma`: tensor cores cannot be emulated"),
    "their header": ("", "#include <mma.h>\n", "`mma.h`: tensor cores"),
    "8-bit numbers": ("", "#include <cuda_fp8.h>\n", "8-bit numbers"),
    "lanes that happen to be active": ("y[0] = __activemask();", "", "write the mask"),
    "shared memory at file scope": ("", "extern __shared__ float a[];\n", "declare it in the kernel"),
    "shared memory with a value": ("__shared__ int n = 1;", "", "assign it in the kernel"),
    "shared memory in a macro": ("", "#define S __shared__\n", "in a macro"),
    "a kernel by its C++ name": ("", '__global__ void g() {}\nextern "C" {', 'write extern "C"'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_emulation_is_refused_before_compiling(name):
    body, before, reason = REFUSED[name]
    with pytest.raises(ContractError, match=reason):
        emulated(body, before)


def test_a_device_is_given_the_scalar_type_and_the_bound_tunables():
    bound = candidate("y[0] = WIDTH;", "#include <cstdint>\n#include <cuda_bf16.h>\n").bind(WIDTH=8)
    text = device_text(bound, cuda_texts(bound.source)[0], "bfloat16")
    assert "typedef __nv_bfloat16 scalar_t;\n" in text and "#define WIDTH 8\n" in text
    assert "\n#include <cstdint>" not in text.split("#line")[1] and "#include <cuda_bf16.h>" in text.split("#line")[1]


def test_what_a_kernel_takes_is_read_from_what_ptxas_prints():
    log = """ptxas info    : Compiling entry function 'f' for 'sm_90a'
ptxas info    : Function properties for f
ptxas         .     24 bytes stack frame, 20 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 44 registers, used 1 barriers, 24 bytes cumulative stack size, 1024 bytes smem, 400 bytes cmem[0]
"""
    assert usage(log) == {"f": (44, 24, 1024)}


def test_host_functions_say_how_a_kernel_is_launched_without_data():
    loop = '    for n in (64, 32):\n        launch(S, "k", (n, 3), (n, 2), (x,), shared_bytes=4 * n)\n'
    source = f'S = "x"\n\n\ndef f(x):\n{loop}'
    calls = [{"function": "f", "tensors": [[[3], "float32"]], "numbers": {}}]
    assert record(source, {}, calls) == {("S", "k"): (128, 256, 192)}
