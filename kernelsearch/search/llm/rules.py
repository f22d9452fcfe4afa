"""The sentences of the prompt that do not depend on target or machine."""

ANSWER = """\
Two lines, then exactly one fenced code block with the whole source, then nothing:

name: a-short-name
idea: one sentence, what makes it faster

```{fence}
...
```

An answer with no block, or with two, is not used."""

FILE_ANSWER = """\
Write the whole source into the file `{file}` in this folder, and only that file will be read. The functions to
define are in `abi.txt`, the best sources so far in `best-1`, `best-2` and so on. Nothing outside of this folder and
the system's own programs can be read. There is no judge in the folder: when the file is written, end; the verdict
comes with the next brief."""

_TUNABLES_CPP = """\
- A tunable is declared in a comment line and is then a macro: `// tune: BLOCK in 16 32 64` (the first value is the
  default), or a choice of structure: `// tune: ROWS in split whole` makes ROWS_split and ROWS_whole 1 or 0. Declare
  what is worth trying: it can be searched without you.
- A tensor that the forward leaves for the backward is declared, `// saves: NAME DTYPE AXES...` (DTYPE is scalar,
  float32, bfloat16 or int64; with several entries `// saves ENTRY: ...`), and follows the outputs in the arguments
  of both."""

_TUNABLES_PYTHON = """\
- Tunables are a literal at the top level, `TUNE = {"BLOCK": [64, 128]}` (integers; the first is the default), and
  are then globals of that name. Declare what is worth trying: it can be searched without you.
- A tensor that the forward leaves for the backward is declared, `SAVES = {"lse": ("float32", "B", "T")}`, and is
  returned after the outputs and passed to the backward after them."""

_HOST = """\
- Host functions have the names and arguments given above. They may do shape arithmetic, allocate with torch.empty
  or torch.zeros, launch kernels and call torch's matrix products and sums. They keep nothing between calls; no
  other imports, no files, no global state."""

RULES = {
    "cpp": """\
- C++20, g++, -O3 -march=native, OpenMP; one file. A header `abi.h` with scalar_t and the prototypes is included
  before it.
- Headers: the C++ standard library, <immintrin.h>, <omp.h>, and <kernelsearch/simd.h> (ks::Vec of ks::LANES floats,
  ks::load, ks::store, ks::load_first, ks::store_first, ks::sum; they take float and bfloat16_t) and
  <kernelsearch/gemm.h>.
- Tensors are dense, row-major, and aligned to their element only: vector loads must be unaligned ones. Every size
  of the contract occurs, also 1 and sizes that no tile divides.
- No state between calls: no static or global variables that change, no files, no clock, no system calls, no inline
  assembly. Write every element of every output and nothing else; inputs are read-only.
"""
    + _TUNABLES_CPP,
    "python": "- A module with the functions above on torch tensors.\n" + _TUNABLES_PYTHON,
    "triton": "- One Python file with @triton.jit kernels and host functions.\n" + _HOST + "\n" + _TUNABLES_PYTHON,
    "cuda": "- One Python file with CUDA C sources as strings and host functions.\n" + _HOST + "\n" + _TUNABLES_PYTHON,
}

GATES = """\
Cheapest first: does it compile; does it call or contain what it must not; is it right on benign and on hard inputs
(large, tiny, cancelling, sizes around tile edges), every output and every gradient against float64; does it give
the same twice; does it stay inside its memory. Then it is timed in turns with the baseline on fresh inputs, and
outputs of timed calls are checked too. Accepted is what is clearly faster than the baseline. Changing what is
computed, less precision than the contract's, special cases for likely inputs, or work left over from earlier calls
do not pass and cost you a proposal."""
