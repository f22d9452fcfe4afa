#!/usr/bin/env bash
# Fill a folder with wheels for a machine with a GPU and no network: WHEELS=DIR bash scripts/gpu_evidence.sh unpacks them.
#     bash scripts/gpu_wheels.sh DIR [NAME...]
# Without names: everything that the script needs beside PyTorch, Triton, CuPy and NumPy. `bash scripts/gpu_evidence.sh
# --plan` on that machine says what it lacks; name that to keep the folder small. PYTHON_VERSION is the other machine's,
# by default 3.12; PYTHON is the one here whose pip downloads.
set -euo pipefail
folder="${1:?usage: bash scripts/gpu_wheels.sh DIR [NAME...]}"
shift
[ $# -gt 0 ] || set -- hypothesis rich typer sympy pytest pyarrow rustbpe tiktoken
platforms=()
for minor in 28 27 24 17; do platforms+=(--platform "manylinux_2_${minor}_x86_64"); done
"${PYTHON:-python3}" -m pip download --quiet --only-binary=:all: --implementation cp \
    --python-version "${PYTHON_VERSION:-3.12}" "${platforms[@]}" --platform manylinux2014_x86_64 --dest "$folder" "$@"
du -sh "$folder"
