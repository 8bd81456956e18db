#!/bin/sh
# Runs every molecule scenario, with a state folder of its own: state of an earlier run would make molecule skip steps.
set -eu
cd "$(dirname "$0")/../.."
MOLECULE_EPHEMERAL_DIRECTORY=$(mktemp -d)
export MOLECULE_EPHEMERAL_DIRECTORY
# Ansible starts a background task by an unquoted interpreter: a path without blanks, wherever the checkout lies.
link=$(mktemp -d)
ln -s "$PWD/.venv" "$link/venv"
export MOLECULE_PYTHON="$link/venv/bin/python"
trap 'rm -rf "$MOLECULE_EPHEMERAL_DIRECTORY" "$link"' EXIT
.venv/bin/python -m molecule test --all </dev/null
