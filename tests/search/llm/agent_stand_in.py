"""A coding agent's stand-in: reads the brief, tries what it must not, writes a kernel, and leaves a process behind.

agent_stand_in.py KERNEL OUTSIDE SENTENCE
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

kernel, outside, sentence = sys.argv[1:]
found = {"sentence": sentence, "brief": "# Task" in Path("brief.md").read_text(), "files": sorted(os.listdir())}
found["variables"] = sorted(os.environ)


def attempt(name, action):
    try:
        action()
        found[name] = "done"
    except OSError as error:
        found[name] = type(error).__name__


attempt("read outside", lambda: Path(outside).read_text())
attempt("write outside", lambda: Path(outside).write_text("changed"))
attempt("list home", lambda: os.listdir(os.path.expanduser("~root")))
attempt("file socket", lambda: socket.socket(socket.AF_UNIX))
attempt("network socket", lambda: socket.socket(socket.AF_INET).close())
left = subprocess.Popen(["sleep", "300"], start_new_session=True, stdout=subprocess.DEVNULL)
found["left"] = left.pid
source = Path(kernel).read_text()
Path("candidate.cpp").write_text(f"// {json.dumps(found)}\n{source}")
print("x" * 1_000_000)
print(json.dumps({"total_cost_usd": 0.25, "usage": {"input_tokens": 10, "output_tokens": 5}}))
