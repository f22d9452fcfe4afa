"""The tables of bench/gpu_evidence.py: what was proven, and how it compares, slower ones too."""

from typing import Any


def as_markdown(document: dict[str, Any]) -> str:
    """What is known so far, as a person reads it."""
    lines = [f"# {document['device']['name']}, {document['date']}, commit {document['commit']}", ""]
    if "tests" in document:
        lines += [*(f"Tests: {row['summary']}" for row in document["tests"]), ""]
    if "judge" in document:
        lines += ["| target | seed | verdict | faster | speedup | detail |", "|---|---|---|---|---|---|"]
        for row in document["judge"]:
            speedup = f"{row['speedup']:.2f}x [{row['low']:.2f}, {row['high']:.2f}]" if row.get("speedup") else "-"
            detail = str(row.get("detail", "")).replace("|", "/").replace("\n", " ")[:160]
            faster = {True: "yes", False: "no"}.get(row.get("faster"), "not timed")
            lines.append(f"| {row['target']} | {row['seed']} | {row['status']} | {faster} | {speedup} | {detail} |")
        lines.append("")
    if "bench" in document:
        lines += ["| workload | seed | us | of speed of light | against |", "|---|---|---|---|---|"]
        for row in document["bench"]:
            if "us" not in row:
                lines.append(f"| {row['target']} | {row['seed']} | - | - | {row['error'][:120]} |")
                continue
            us = row["us"].get("seed")
            versus = [f"{n} {v['speedup']:.2f}x [{v['low']:.2f}, {v['high']:.2f}]" for n, v in row["vs"].items()]
            versus += [f"{name}: failed" for name in row["errors"]]
            share = f"{row['speed_of_light_us'] / us:.0%}" if us else "-"
            shown = f"{us:.1f}" if us else "failed"
            lines.append(f"| {row['workload']} | {row['seed']} | {shown} | {share} | {', '.join(versus)} |")
        lines.append("")
    if "study" in document:
        lines += ["| study of | trials | statuses | best |", "|---|---|---|---|"]
        lines += [
            f"| {r['target']} | {r.get('trials')} | {r.get('statuses')} | {r.get('best')} |" for r in document["study"]
        ]
        lines.append("")
    for row in document.get("race", ()):
        lines += [f"Race of {row['config']} ({row['seconds']:.0f} s): {row['summary']}", ""]
    if "sanitizer" in document:
        found = [f"{row['target']}/{row['seed']} {row['status']}" for row in document["sanitizer"]]
        lines += [f"compute-sanitizer: {', '.join(found)}", ""]
    return "\n".join(lines)
