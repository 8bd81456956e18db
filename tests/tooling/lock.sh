#!/bin/sh
# Makes requirements.lock from requirements.in: versions with hashes for every supported Python, no addresses.
set -eu
cd "$(dirname "$0")/../.."
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool/venv"
"$tool/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
"$tool/venv/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
    --no-annotate --no-emit-index-url --no-emit-find-links requirements.in -o "$tool/lock"
{ echo "# Made from requirements.in by 'make lock'. Do not edit."; cat "$tool/lock"; } >requirements.lock
