"""The compiler's jail: a source may name anything, and gets nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernelsearch.build import cpp, jail
from kernelsearch.build.jail import compile_jailed, jail_command
from kernelsearch.errors import BuildError, EnvironmentMissing, Infrastructure

COMPILE = "-c", "kernel.cpp", "-o", "kernel.o"
SECRET = "a-secret-that-must-not-leak"


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def secret(tmp_path) -> Path:
    file = tmp_path / "secret.h"
    file.write_text(SECRET)
    file.chmod(0o644)
    return file


def compiled(source: str, cache: Path, *flags: str) -> bytes:
    command = (cpp.compiler(), *flags, *COMPILE)
    return compile_jailed(jail_command(cache), {"kernel.cpp": source.encode()}, [command], "kernel.o")


def test_a_source_comes_back_as_its_object(cache):
    assert compiled("#include <vector>\nint x;", cache).startswith(b"\x7fELF")


READS = [
    '#include "{path}"',
    'asm(".incbin \\"{path}\\"");',
    'asm(".include \\"{path}\\"");',
    "#include </proc/self/root{path}>",
    '#include "../../../../../../..{path}"',
]


@pytest.mark.parametrize("line", READS)
@pytest.mark.parametrize("which", ["/etc/passwd", "/etc/hostname", "/proc/self/environ", "the user's"])
def test_no_file_but_the_systems_own_can_be_read(cache, secret, line, which):
    path = str(secret) if which == "the user's" else which
    with pytest.raises(BuildError) as failure:
        compiled(line.replace("{path}", path) + "\n", cache)
    assert SECRET not in str(failure.value)
    assert "root:" not in str(failure.value)


def test_what_exists_looks_like_what_does_not(cache, secret):
    messages = []
    for path in (secret, secret.with_name("absent.h")):
        with pytest.raises(BuildError) as failure:
            compiled(f'#include "{path}"\n', cache)
        messages.append(str(failure.value).replace(path.name, "").split("\n")[0])
    assert messages[0] == messages[1]


def test_a_plugin_is_not_loaded(cache):
    with pytest.raises(BuildError):
        compiled('#pragma GCC optimize("-fplugin=/tmp/x.so")\n#error stop\n', cache)


def run(cache: Path, *program: str) -> bytes:
    """The file `out` after running a shell in the compiler's place: what a subverted compiler could do."""
    return compile_jailed(jail_command(cache), {"in": b""}, [("/bin/sh", "-c", *program)], "out")


def test_a_subverted_compiler_sees_no_process_no_network_and_no_home(cache):
    listed = run(
        cache, "(cat /proc/1/environ; ls /root /home /work /etc; ls /proc | grep '^[0-9]') >out 2>/dev/null; true"
    )
    assert set(listed.decode().split()) <= {"alternatives", "ld.so.cache"}


@pytest.mark.parametrize(
    "command", ["kill -9 -1", "mount -t tmpfs none /usr", "chroot /", "echo x >/usr/x", "mkfifo /x"]
)
def test_a_subverted_compiler_changes_nothing(cache, command):
    with pytest.raises(BuildError):
        run(cache, f"{command} || exit 1")


def test_a_subverted_compiler_has_no_sockets(cache):
    with pytest.raises(BuildError, match="not permitted"):
        run(cache, "bash -c 'exec 3<>/dev/udp/127.0.0.1/9' || exit 1")


def test_the_output_is_not_followed_out_of_the_scratch_folder(cache):
    with pytest.raises(Infrastructure, match="out"):
        run(cache, "ln -s /usr/bin/true out")


def test_messages_are_short_however_much_is_printed(cache):
    with pytest.raises(BuildError) as failure:
        run(cache, "yes nonsense | head -c 3000000; exit 1")
    assert len(str(failure.value)) <= jail.MAXIMUM_MESSAGE


def test_a_compilation_beyond_its_time_is_a_build_error(cache, monkeypatch):
    monkeypatch.setattr(jail, "TIMEOUT_S", 1)
    with pytest.raises(BuildError, match="within 1 s"):
        run(cache, "sleep 30")


def test_what_a_compiler_leaves_running_ends_with_it(cache):
    run(cache, "sleep 98765 & echo > out")
    assert not running("sleep", "98765")


def test_a_jail_that_cannot_confine_is_a_missing_environment():
    with pytest.raises(EnvironmentMissing, match="not compiled here: no Landlock"):
        compile_jailed(["/bin/sh", "-c", "echo no Landlock >&2; exit 98"], {}, [("g++",)], "out")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_caller_ends_the_compiler(cache, number):
    text = (
        "import sys; from pathlib import Path; from kernelsearch.build.jail import *\n"
        "compile_jailed(jail_command(Path(sys.argv[1])), {}, [('/bin/sleep', '87654')], 'out')"
    )
    before = set(os.listdir("/tmp"))
    caller = subprocess.Popen([sys.executable, "-c", text, str(cache)], stderr=subprocess.DEVNULL)
    wait_for(lambda: running("sleep", "87654"))
    caller.send_signal(number)
    caller.wait()
    wait_for(lambda: not running("sleep", "87654"))
    assert not running("sleep", "87654")
    assert not {name for name in set(os.listdir("/tmp")) - before if name.startswith("kernelsearch-")}


def running(*words: str) -> list[str]:
    """Processes whose command line holds these words."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            text = (process / "cmdline").read_text().split("\0") if process.name.isdigit() else []
        except OSError:
            continue
        found += [process.name] if [w.rsplit("/", 1)[-1] for w in text[: len(words)]] == list(words) else []
    return found


def wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
