"""A small git repository with one target and an accepted kernel, changed by hand."""

import json
import subprocess
from pathlib import Path

import pytest

from kernelsearch.spec import read_candidate

ROW_SUM = Path(__file__).parent.parent / "sandbox" / "row_sum"
SOURCE = (ROW_SUM / "seeds" / "plain.cpp").read_text()


class Repository:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "-q", "-b", "main")
        target = path / "kernels" / "row_sum"
        target.mkdir(parents=True)
        for file in ROW_SUM.glob("*.*"):
            (target / file.name).write_text(file.read_text())

    def git(self, *arguments: str) -> str:
        settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *settings, *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def accept(self, source: str, name: str = "cpu-cpp-float32") -> Path:
        """Writes an accepted kernel of this source; its provenance fits."""
        folder = self.path / "kernels" / "row_sum" / "accepted" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel.cpp").write_text(source)
        candidate = read_candidate("row_sum", "cpp", source, "seed")
        value = {
            "target": "row_sum",
            "language": "cpp",
            "device": "cpu",
            "dtype": "float32",
            "tunables": dict(candidate.tunables),
            "digest": candidate.digest,
            "verdict": {"measurements": []},
        }
        (folder / "provenance.json").write_text(json.dumps(value))
        return folder

    def commit(self, subject: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", subject, "--allow-empty")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path) -> Repository:
    (tmp_path / "repo").mkdir()
    made = Repository(tmp_path / "repo")
    made.accept(SOURCE)
    return made
