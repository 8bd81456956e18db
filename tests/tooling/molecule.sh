#!/bin/sh
# Runs every molecule scenario, with a state folder of its own: state of an earlier run would make molecule skip steps.
set -eu
cd "$(dirname "$0")/../.."
MOLECULE_EPHEMERAL_DIRECTORY=$(mktemp -d)
export MOLECULE_EPHEMERAL_DIRECTORY
trap 'rm -rf "$MOLECULE_EPHEMERAL_DIRECTORY"' EXIT
.venv/bin/python -m molecule test --all </dev/null
