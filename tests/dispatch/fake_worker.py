"""A trainer without training: losses fall by a fixed law, step times are made up. Its init command says how it behaves.

factor      step time against 1 ms
shift       added to every loss
launches    of its one kernel; null for no kernel
corpus      echoed, if given
fail        {"at": command, "how": crash | hang | garbage | refuse}
"""

import json
import os
import sys
import time


def fail(how: str) -> None:
    if how == "crash":
        print("out of cheese", file=sys.stderr)
        os._exit(7)
    if how == "hang":
        time.sleep(60)
    print(
        "Segmentation fault?" if how == "garbage" else json.dumps({"ok": False, "error": "no such config"}), flush=True
    )


def main() -> None:
    behaviour: dict = {}
    steps = 0
    for line in sys.stdin:
        command = json.loads(line)
        name = command["cmd"]
        if name == "init":
            behaviour = command
        answer: dict = {"ok": True}
        if name == "init" and "corpus" in command:
            answer["corpus"] = command["corpus"]
        if name == "step":
            numbers = range(steps + 1, steps + command["count"] + 1)
            seconds = [0.001 * behaviour["factor"] * (1 + 0.01 * (number % 3)) for number in numbers]
            answer["losses"] = [3.0 / number + behaviour["shift"] for number in numbers]
            answer["seconds"], answer["tokens"] = seconds, 10 * command["count"]
            steps += command["count"]
        if name == "evaluate":
            answer.update(bpb=4.0 / steps + behaviour["shift"], seconds=0.5)
        if name == "report":
            counts = {"forward": behaviour["launches"], "backward": 0}
            kernel = {"launches": counts, "fallbacks": {"x has another dtype": 2}}
            answer["report"] = None if behaviour["launches"] is None else {"kernels": {"attention": kernel}}
            answer["peak_bytes"] = 3 << 20
        if behaviour["fail"] and behaviour["fail"]["at"] == name:
            fail(behaviour["fail"]["how"])
            continue
        print(json.dumps(answer), flush=True)
        if name == "exit":
            return


if __name__ == "__main__":
    main()
