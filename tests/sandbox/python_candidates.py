"""Python sources for the row_sum target: honest ones, wrong ones, and ones that reach for what is not theirs."""

HONEST = "import torch\n\n\ndef row_sum_forward(x, scale):\n    return (scale * x.float().sum(-1)).to(x.dtype)\n"
OWN_BACKWARD = HONEST + (
    "\n\ndef row_sum_backward(x, total, dtotal, scale):\n"
    "    return (scale * dtotal.float())[:, None].expand(x.shape).to(x.dtype)\n"
)
SAVED = (
    'SAVES = {"rows": ("float32", "N")}\nTUNE = {"UNUSED": [3, 4]}\n\n\n'
    "def row_sum_forward(x, scale):\n"
    "    rows = x.float().sum(-1)\n"
    "    return (scale * rows).to(x.dtype), rows + 0 * UNUSED\n\n\n"
    "def row_sum_backward(x, total, rows, dtotal, scale):\n"
    "    assert rows.shape == total.shape\n"
    "    return (scale * dtotal.float())[:, None].expand(x.shape).to(x.dtype)\n"
)


def in_call(*lines: str) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return HONEST.replace("    return", f"{body}    return")


def at_import(*lines: str) -> str:
    return "\n".join(lines) + "\n" + HONEST


# name: (source, statuses that may end it)
WRONG = {
    "zeros": (HONEST.replace("scale * x", "0 * x"), {"MISMATCH"}),
    "scale forgotten": (HONEST.replace("scale * x", "x"), {"MISMATCH"}),
    "wrong gradient": (OWN_BACKWARD.replace("(scale * dtotal", "(2 * scale * dtotal"), {"GRADIENT"}),
    "an exception": (in_call("raise ValueError('not today')"), {"CRASH"}),
    "an exception at import": (at_import("raise ValueError('not today')"), {"CONTRACT"}),
    "a syntax error": ("def row_sum_forward(x, scale:\n", {"BUILD"}),
    "a bomb": ("x = " + "-" * 60_000 + "1\n", {"BUILD"}),
    "a missing function": ("import torch\n", {"CONTRACT"}),
    "nothing returned": (in_call("return None"), {"CRASH"}),
    "another shape": (HONEST.replace(".sum(-1)", ".sum(-1, keepdim=True)"), {"CRASH"}),
    "another dtype": (HONEST.replace(".to(x.dtype)", ".double()"), {"CRASH"}),
    "leaves at import": (at_import("import sys", "sys.exit(0)"), {"CONTRACT"}),
    "leaves at once at import": (at_import("import os", "os._exit(0)"), {"CRASH"}),
    "leaves in the call": (in_call("import sys", "sys.exit(0)"), {"CRASH"}),
    "leaves at once in the call": (in_call("import os", "os._exit(0)"), {"CRASH"}),
    "writes its input": (in_call("x.zero_()"), {"CRASH"}),
    "takes all memory": (in_call("y = [torch.empty(1 << 28) for _ in range(64)]"), {"CRASH"}),
    "answers first, works later": (
        in_call("import threading, time", "total = torch.zeros_like(x[:, 0])",
                "work = lambda: (time.sleep(0.2), total.copy_(scale * x.sum(-1)))",
                "threading.Thread(target=work).start()", "return total"),
        {"MISMATCH"},
    ),
}  # fmt: skip
HOSTILE = {
    "forks": (in_call("import os", "os.fork()"), {"INTEGRITY"}),
    "starts a program": (in_call("import subprocess", "subprocess.run(['true'])"), {"INTEGRITY"}),
    "starts a program by hand": (in_call("import os", "os.execv('/usr/bin/true', ['true'])"), {"INTEGRITY"}),
    "opens a socket": (in_call("import socket", "socket.socket()"), {"INTEGRITY"}),
    "signals the judge": (in_call("import os", "os.kill(os.getppid(), 9)"), {"INTEGRITY"}),
    "unshares": (in_call("import ctypes", "ctypes.CDLL(None).unshare(0x10000000)"), {"INTEGRITY"}),
    "leaves its cores": (in_call("import os", "os.sched_setaffinity(0, {0})"), {"INTEGRITY"}),
    "writes a file": (in_call("open('/tmp/candidate', 'w')"), {"CRASH"}),
    "writes beside torch": (in_call("open(torch.__file__ + 'x', 'w')"), {"CRASH"}),
    "reads the users": (in_call("open('/etc/passwd').read()"), {"CRASH"}),
    "reads another process": (in_call("open('/proc/1/environ').read()"), {"CRASH"}),
    "writes its response": (
        in_call("import os", "for fd in range(3, 64):", "    try:", "        os.write(fd, bytes(8))",
                "    except OSError:", "        pass", "return torch.full_like(x[:, 0], float('nan'))"),
        {"INTEGRITY", "MISMATCH", "INFRASTRUCTURE"},
    ),
}  # fmt: skip
PATCHED = at_import(
    "import time, torch",
    "time.perf_counter = lambda: 0.0",
    "torch.cuda.synchronize = lambda *a: None",
    "torch.allclose = torch.equal = lambda *a, **k: True",
    "torch.Tensor.__eq__ = lambda *a: True",
    "torch.autograd.grad = torch.autograd.grad",
)
