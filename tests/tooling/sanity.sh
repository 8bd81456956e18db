#!/bin/sh
# Runs ansible-test's sanity tests on a copy of the checkout (stage.py says why), under the Python of .venv, and the
# import and compile tests also under Python 3.9, the oldest one modules support, if there is one.
set -eu
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree="$work/ansible_collections/dbops/timescale"
.venv/bin/python tests/tooling/stage.py "$tree"
.venv/bin/python tests/tooling/get_pip_shim.py

PATH="$PWD/.venv/bin:$PATH"
current=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# ansible-test succeeds when it finds nothing to test: that must not pass.
sanity() {
    echo "ansible-test sanity $*"
    status=0
    (cd "$tree" && ansible-test sanity --local --color no "$@" </dev/null >"$work/log" 2>&1) || status=$?
    cat "$work/log"
    if grep -q "All targets skipped" "$work/log"; then
        echo "make: ansible-test skipped every file, so nothing was tested" >&2
        exit 1
    fi
    [ "$status" -eq 0 ] || exit "$status"
}

skipped() {
    echo "Skipped: $1"
    if [ -n "${TEST_RECORD_DIR:-}" ]; then
        mkdir -p "$TEST_RECORD_DIR"
        printf 'sanity\t%s\n' "$1" >>"$TEST_RECORD_DIR/skipped.txt"
    fi
}

sanity --python "$current"

# ansible-test looks for pythonX.Y in PATH; a shim of pyenv is there too, but need not work.
for candidate in python3.9 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.9*/bin/python3.9; do
    if oldest=$("$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null); then
        PATH="$PWD/.venv/bin:$(dirname "$oldest"):$PATH"
        sanity --python 3.9 --test import --test compile
        exit 0
    fi
done
skipped "import and compile under Python 3.9: no python3.9 in PATH or pyenv"
