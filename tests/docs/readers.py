"""How each command of the documents is run by a test: as it stands, with less to do, or not at all and why.

A command that is in no list is run as it is written. Where the documents name what a reader has (TARGET, a commit),
the folder of `make_folder` has it. Budgets are cut: what is tested is that the command works, not what it finds.
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.docs.blocks import ROOT, files

LIMIT_S = 400
# No browser is opened, and the state is that of the folder.
ENVIRONMENT = {**os.environ, "BROWSER": "true"}
ENVIRONMENT.pop("KERNELSEARCH_HOME", None)
NOT_RUN = {
    "optimize T --proposer llm --model anthropic/NAME --max-cost 2": "asks a model, with a key",
    "optimize mix_norm --proposer llm --model anthropic/claude-sonnet-4-6 --budget 30m --max-cost 2": (
        "asks a model, with a key"
    ),
    "optimize mix_norm --proposer command --agent-command claude -p {prompt} ... --budget 1h --max-calls 10": (
        "needs a coding agent; tests/search/llm has a stand-in for one"
    ),
    "optimize relu2 --proposer llm --model openai/smollm2 --base-url http://127.0.0.1:8080/v1 --answer-tokens 400 "
    "--max-calls 5 --budget 10m": "needs a model; tests/search/llm/test_local_llm.py runs it where one is installed",
    "run --repo PATH -- -m scripts.base_train ...": "needs an upstream checkout",
    "run --device cuda --repo PATH -- -m scripts.base_train ...": "needs an upstream checkout and a GPU",
    "run --repo ~/nanochat -- -m scripts.base_train --depth=4 --device-type=cpu ...": "needs an upstream checkout",
    "check FILE --target mix_norm --dtype bf16": "needs the triton extra; tests/sandbox/test_triton.py",
    "check FILE --target mix_norm --dtype bf16 --workload d12": "needs the triton extra; tests/sandbox/test_triton.py",
    "optimize mix_norm --language triton --dtype bf16": "needs the triton extra; tests/sandbox/test_triton.py",
}
LESS = {
    "optimize attention": "optimize attention --trials 1",
    # Kernels that another CPU or compiler accepted are judged again first, each for half a minute: one will do.
    "race": "race --steps 3 --target relu2",
    "race --device cuda --dtype bf16 --config d6 --steps 200 --compile": (
        "race --device cuda --dtype bf16 --config d6 --steps 3 --compile"
    ),
    "train --device cuda --dtype bf16 --config d6": "train --device cuda --dtype bf16 --config d6 --steps 3",
    "train": "train --steps 3 --kernels none",
    "bench": "bench relu2 --seconds 0.2",
    "bench --config d4 --compile": "bench relu2 --config tiny --steps 10 --compile",
    "optimize mine.py": "optimize mine.py --trials 2",
    "optimize TARGET": "optimize relu2 --trials 2",
    "optimize --all --workload d4": "optimize --all --workload tiny --budget 20s --no-race",
    "optimize --all --workload d4 --budget 8h --from-seeds --no-race --json": (
        "optimize --all --workload tiny --budget 20s --from-seeds --no-race --json"
    ),
    "check FILE --target T": "check mine.cpp --target relu2",
    "import kernelbench FILE": "import kernelbench 12_Gemm_ReLU.py --out imported",
    "targets show T --abi": "targets show relu2 --abi",
    "compare COMMIT": "compare main --meetings 2",
    "compare main": "compare main --meetings 2",
    "bisect TARGET --good C --bad C": "bisect backout_norm --good main --bad HEAD --meetings 2",
    "verify PATH": "verify kernels/relu2/accepted/cpu-cpp-float32",
    "scorecard": "scorecard relu2 --part corpora --quota 2",
    # The line before it on the page has left trials there.
    "optimize mix_norm --proposer replay --from OTHER_STATE_FOLDER": (
        "optimize mix_norm --proposer replay --from .kernelsearch --trials 1"
    ),
    "optimize mix_norm --proposer file --candidate mine.cpp --candidate another.cpp": (
        "optimize mix_norm --proposer file --candidate mine.cpp --candidate another.cpp --trials 2"
    ),
    "optimize softcap_cross_entropy --language cuda": "optimize softcap_cross_entropy --language cuda --trials 1",
    "ideas add ... --target attention --predicts 1.2x --source ...": (
        "ideas add 'keep a block of scores in registers' --target attention --predicts 1.2x --source 'a note'"
    ),
    "optimize attention --candidate mine.cpp --idea ID": "optimize attention --candidate mine.cpp --idea ID --trials 1",
    "ideas close ID --candidate DIGEST --note ...": "ideas close ID --outcome abandoned --note 'no time'",
    "optimize ./gemm_relu --candidate mine.cpp": "optimize ./gemm_relu --candidate mine.cpp --trials 1",
    "optimize mine.py --candidate mine.cpp": "optimize mine.py --candidate mine.cpp --trials 1",
}
# What a reader without a GPU is told, with status 2, by a command that asks for one.
NO_GPU = "no CUDA device"
# These serve until they are interrupted; PORT, and port 0, is a free one.
SERVERS = {
    "mcp --http 8765": "mcp --http PORT",
    "dashboard": "dashboard --port 0",
    "dashboard --open": "dashboard --port 0 --open",
}
# What the reader's mine.cpp is on each page.
MINE = {
    "agents.md": "mix_norm/seeds/rows.cpp",
    "ideas.md": "attention/seeds/online_tiles.cpp",
}
SKELETON = "targets show mine.py --skeleton mine.cpp"  # whose body the reader fills in
PROBLEM = """import torch
from torch import nn


class Model(nn.Module):
    def forward(self, A, B):
        return torch.relu(A @ B)


def get_inputs():
    return [torch.rand(64, 96), torch.rand(96, 48)]


def get_init_inputs():
    return []
"""
GEMM_RELU = """void gemm_relu_forward(const scalar_t* A, const scalar_t* B, scalar_t* out,
                       int64_t n48, int64_t n64, int64_t n96) {
    for (int64_t m = 0; m < n64; m++)
        for (int64_t n = 0; n < n48; n++) {
            float sum = 0;
            for (int64_t k = 0; k < n96; k++) sum += A[m * n96 + k] * B[k * n48 + n];
            out[m * n48 + n] = sum > 0 ? sum : 0;
        }
}
"""


def make_folder(page: Path, folder: Path) -> None:
    """What a reader of this page has: kernels of two commits, recorded results, and the files that the page names."""
    kernels, library = folder / "kernels", ROOT / "kernels"
    for target in ("adamw_step", "attention", "backout_norm", "relu2"):
        shutil.copytree(library / target, kernels / target, ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "as it was")
    git(folder, "tag", "v1.0")
    git(folder, "checkout", "-q", "-b", "work")
    changed = kernels / "backout_norm" / "accepted" / "cpu-cpp-float32" / "kernel.cpp"
    changed.write_text(changed.read_text() + "// the same, in other words\n")
    commit(folder, "a change")
    sources = {
        "mine.cpp": (library / MINE.get(page.name, "relu2/seeds/slopes.cpp")).read_text(),
        "another.cpp": (library / "mix_norm/seeds/row_groups.cpp").read_text(),
        "old.cpp": (library / "relu2/seeds/slopes.cpp").read_text(),
        "new.cpp": (library / "relu2/seeds/streams.cpp").read_text(),
        "my_kernel.py": (library / "mix_norm/seeds/warp_rows.py").read_text(),
        "12_Gemm_ReLU.py": PROBLEM,
        **({"mine.cpp": GEMM_RELU} if page.name == "kernelbench.md" else {}),
        "mine.py": files(ROOT / "README.md")["mine.py"],
        **files(page),
    }
    if page.name == "tutorial.md":
        del sources["mine.cpp"]  # which the page makes
    for name, text in sources.items():
        (folder / name).write_text(text)
    shutil.copytree(ROOT / "bench" / "results", folder / "bench" / "results")
    for store in ("path/to/one/store", "path/to/another"):
        kept = folder / store / "relu2" / "cpu-cpp-float32"
        shutil.copytree(library / "relu2/accepted/cpu-cpp-float32", kept)


def run(text: str, folder: Path) -> int | str:
    """The exit status of a documented command, or what it said where it did not end with 0 or 1."""
    if text in SERVERS:
        return serve(shlex.split(SERVERS[text]), folder)
    arguments = shlex.split(LESS.get(text, text))
    if "ID" in arguments:
        arguments[arguments.index("ID")] = open_idea(folder)
    done = subprocess.run(
        [sys.executable, "-m", "kernelsearch", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    if text == SKELETON:
        (filled_in,) = folder.glob(".kernelsearch/targets/*/seeds/fused.cpp")
        shutil.copy(filled_in, folder / "mine.cpp")
    if done.returncode == 2 and NO_GPU in done.stderr:
        return 0
    return done.returncode if done.returncode in (0, 1) else f"status {done.returncode}: {done.stderr[-2000:]}"


def serve(arguments: list[str], folder: Path) -> int | str:
    """As `run`, for a server: interrupted once it says where it listens."""
    command = [sys.executable, "-m", "kernelsearch", *(free_port() if a == "PORT" else a for a in arguments)]
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = ""
        for line in server.stderr:
            said += line
            if "http://" in line:
                break
        time.sleep(1.0)  # it says so before it answers
        server.send_signal(signal.SIGINT)
        status = server.wait(timeout=60)
    return 0 if "http://" in said and status in (0, 130) else f"status {status}: {said}"


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return str(listening.getsockname()[1])


def open_idea(folder: Path) -> str:
    """The id of an idea that nobody has tried, as a reader finds it in the list: one's own claim first."""
    command = [sys.executable, "-m", "kernelsearch", "ideas", "list", "--target", "attention", "--json"]
    for state in ("claimed", "open"):
        listed = subprocess.run(
            [*command, "--state", state], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, text=True
        )
        for idea in json.loads(listed.stdout)["ideas"]:
            return str(idea["id"])
    raise AssertionError("no idea is open")


def commit(folder: Path, subject: str) -> None:
    git(folder, "add", "kernels")
    git(folder, "commit", "-qm", subject)


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True)
