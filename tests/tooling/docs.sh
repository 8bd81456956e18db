#!/bin/sh
# Builds the module pages and guides into dist/docs, without a network; a warning is an error.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0700 "$work"
.venv/bin/antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs all .
mkdir -m 0700 "$work/rst"
.venv/bin/antsibull-docs collection --cleanup everything --use-current --squash-hierarchy --dest-dir "$work/rst" \
    dbops.timescale
rm -rf dist/docs
.venv/bin/python -m sphinx -b html -q -W --keep-going -c tests/tooling/docs "$work/rst" dist/docs
echo "The documentation is in dist/docs/index.html"
