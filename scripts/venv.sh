# The other scripts source this file. It makes .venv with the pinned requirements, and updates it when they change. It
# sets $python to the environment's Python, and changes to the project's directory.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

venv=${VENV:-.venv}
python=$venv/bin/python

make_venv() {
    local chosen=${PYTHON:-python3}
    command -v "$chosen" >/dev/null || fail "$chosen was not found: install Python 3.11 or newer, or set PYTHON to it"
    "$chosen" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed, $chosen is $("$chosen" -V 2>&1): set PYTHON to a newer one, e.g. PYTHON=python3.12 $0"
    "$chosen" -m venv --clear "$venv" && [ -x "$venv/bin/pip" ] || {
        rm -rf "$venv"
        fail "cannot make a virtual environment in $(realpath -m "$venv"): is the folder writable, and (on Debian) python3-venv installed?"
    }
}

# install FILE...: installs requirement files and shows progress. Does nothing if exactly these versions are installed.
install() {
    local installed=$venv/installed-${!#} name files=(-c constraints.txt)
    for name in "$@"; do files+=(-r "$name"); done
    [ -x "$venv/bin/pip" ] || make_venv # venv makes pip last: without pip, the environment is incomplete
    cat "$@" constraints.txt | cmp -s - "$installed" && return
    printf 'installing %s into %s\n' "$*" "$venv"
    "$python" -m pip install --disable-pip-version-check --no-input "${files[@]}" >"$venv/install.log" 2>&1 &
    local pip=$! shown=
    trap 'kill $pip 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pip" 2>/dev/null; do
        name=$(sed -n 's/^Collecting \([^ =<>[(]*\).*/\1/p; s/^Installing collected.*/all, unpacking/p' "$venv/install.log" | tail -n 1)
        [ "$name" = "$shown" ] || printf '  %3ds  %s\n' "$SECONDS" "$name"
        shown=$name
        sleep 0.5
    done
    trap - INT TERM
    wait "$pip" || {
        # If pip cannot reach the index, it reports that the requirements do not exist. Print the real cause.
        grep -qE 'connection broken by|Could not fetch URL|not a trusted or secure host' "$venv/install.log" &&
            fail "the install failed: the package index cannot be reached, $venv/install.log says why
Check the network; or set HTTPS_PROXY to a proxy, PIP_INDEX_URL to a mirror, or PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR to a folder of wheels"
        fail "the install failed, $venv/install.log says more: $(grep '^ERROR' "$venv/install.log" || tail -n 1 "$venv/install.log")"
    }
    cat "$@" constraints.txt >"$installed"
    printf 'installed in %d s\n' "$SECONDS"
}
