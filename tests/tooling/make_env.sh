#!/bin/sh
# Makes the virtual environment .venv from requirements.lock, in the current directory.
# Usage: make_env.sh [interpreter]. Without one, the newest tested Python 3.11+ in PATH is taken.
set -eu

usable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

python=${1:-}
for candidate in python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
    [ -z "$python" ] && usable "$candidate" && python=$candidate
done
if [ -z "$python" ] || ! usable "$python"; then
    echo "make: no Python 3.11 or newer found${python:+ (asked for $python)}. Install one, or give its path: make PYTHON3=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "make: $python cannot make virtual environments. Install its venv package, on Debian: apt-get install python3-venv" >&2
    exit 1
fi

echo "Making .venv with $("$python" --version) ($python)"
"$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
pwd >.venv/made-in
