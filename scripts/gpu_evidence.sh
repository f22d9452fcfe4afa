#!/usr/bin/env bash
# Show on a GPU what this project claims of one, in under nine minutes: tests, every seed judged and timed, rivals, short
# studies, a race. Uses the machine's own python3, its torch and its Triton; nothing is downloaded. Arguments go to
# bench/gpu_evidence.py:  bash scripts/gpu_evidence.sh --parts judge,bench --targets attention,mix_norm
# --plan says, anywhere, what would be done and what is missing for it. WHEELS=DIR names a folder of wheels for what that
# python lacks, as scripts/gpu_wheels.sh fills it. They are unpacked, so pip need not be there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python3}"
if [ -n "${WHEELS:-}" ]; then
    site="$(mktemp -d)"
    trap 'rm -rf "$site"' EXIT
    for wheel in "$WHEELS"/*.whl; do "$python" -m zipfile -e "$wheel" "$site"; done
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export KERNELSEARCH_HOME="${KERNELSEARCH_HOME:-$PWD/.kernelsearch-gpu}"
# Caches beside the state: a home folder may be missing or read-only.
export TRITON_CACHE_DIR="$KERNELSEARCH_HOME/triton" TORCHINDUCTOR_CACHE_DIR="$KERNELSEARCH_HOME/inductor"
export CUPY_CACHE_DIR="$KERNELSEARCH_HOME/cupy"
if ! "$python" -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else 3)' 2>/dev/null; then
    case " $* " in *" --place cpu "* | *" --help "* | *" --plan "*) ;; *)
        echo "kernelsearch: no GPU: torch sees no CUDA device here, and this script measures nothing else" >&2
        exit 2 ;;
    esac
fi
"$python" bench/gpu_evidence.py "$@"
