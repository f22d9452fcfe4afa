# Sourced by scripts/run, scripts/test and .ci/run: prepare EXTRAS makes $checkout/.venv and installs the checkout in it.
# Everything it writes is inside .venv; a stamp makes the second start instant, and an interrupted one starts over.

checkout="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="$checkout/.venv"

say() { printf '%s\n' "kernelsearch: $*" >&2; }

stop() {
    say "$*"
    exit 2
}

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    return 1
}

check_tools() {
    command -v g++ >/dev/null || stop "no C++ compiler: g++ is not on PATH." \
        "Install it with 'sudo apt-get install g++' (Debian, Ubuntu) or 'sudo dnf install gcc-c++' (Fedora)."
    python="$(find_python)" || stop "Python 3.11 or newer is not on PATH." \
        "Install it with 'sudo apt-get install python3 python3-venv' (Debian, Ubuntu) or 'sudo dnf install python3.12'."
}

# The path is in the stamp because the scripts in .venv name it: a moved checkout installs again.
stamp_for() { { printf '%s\n%s\n' "$checkout" "$1"; cat "$checkout/pyproject.toml"; } | cksum; }

has_stamp() { [ -f "$venv/stamp-$1" ] && [ "$(cat "$venv/stamp-$1")" = "$(stamp_for "$1")" ]; }

is_ready() { has_stamp "$1" || has_stamp nanochat,dev; } # what the tests need holds what a run needs

make_venv() {
    if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        say "making $venv with $("$python" --version)"
        find "$venv" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
        "$python" -m venv --without-pip "$venv" >&2 || stop "$python cannot make a virtual environment in $venv."
    fi
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
        "$venv/bin/python" -m ensurepip --upgrade >/dev/null 2>&1 ||
        stop "$python has no ensurepip. Install it with 'sudo apt-get install python3-venv' (Debian, Ubuntu)."
}

# Print what pip collects, one name a line; the whole text stays in .venv/setup.log.
install() {
    say "installing [$1]; the first time downloads PyTorch and takes a few minutes (log: $venv/setup.log)"
    if ! "$venv/bin/python" -m pip install --disable-pip-version-check -e "$checkout[$1]" 2>&1 |
        tee "$venv/setup.log" | sed -u -n 's/^ *Collecting \([^ ]*\).*/  \1/p; /^ERROR/p; s/^Installing collected.*/  unpacking/p' >&2
    then
        tail -n 5 "$venv/setup.log" >&2
        say "installing failed; run the same command again to go on"
        exit 2
    fi
    stamp_for "$1" >"$venv/stamp-$1"
}

prepare() {
    check_tools
    if is_ready "$1"; then return; fi
    mkdir -p "$venv"
    exec 9>"$venv/lock"
    if command -v flock >/dev/null; then flock 9; fi
    if ! is_ready "$1"; then
        make_venv
        install "$1"
    fi
    exec 9>&-
}
