# make            what the targets do
# PYTHON3=...     the interpreter for .venv; default: the newest tested one in PATH
SHELL := /bin/sh
.NOTPARALLEL:
.PHONY: help env lint docs sanity unit integration molecule test test-faults demo build lock clean

PYTHON := .venv/bin/python
RECORD := $(CURDIR)/.cache/record

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.ansible/collections

help:
	@echo "make env          .venv from requirements.lock, and this checkout as ansible_collections/dbops/timescale"
	@echo "make demo         a small migration between two throwaway servers"
	@echo "make test         everything below, and what was skipped"
	@echo "make lint         ruff, mypy, ansible-lint, sanity"
	@echo "make sanity       ansible-test sanity"
	@echo "make unit         tests without servers"
	@echo "make integration  tests on throwaway servers"
	@echo "make molecule     the molecule scenarios"
	@echo "make docs         module pages and guides, in dist/docs"
	@echo "make test-faults  more than 200 faults injected into moves between throwaway servers (about 10 minutes)"
	@echo "make build        the collection's tarball, in dist/"
	@echo "make lock         requirements.lock from requirements.in"
	@echo "make clean        remove what make made"

# The folder is in the stamp because a virtual environment cannot be moved.
ifneq ($(shell cat .venv/made-in 2>/dev/null),$(CURDIR))
.PHONY: .venv/made-in
endif
.venv/made-in: requirements.lock
	@sh tests/tooling/make_env.sh $(PYTHON3)

# Ansible, mypy and pytest find the checkout by this link.
env: .venv/made-in
	@mkdir -p .ansible/collections/ansible_collections/dbops
	@ln -sfn ../../../.. .ansible/collections/ansible_collections/dbops/timescale

lint: env
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy -p ansible_collections.dbops.timescale.plugins -p tests -p benchmarks
	$(PYTHON) -m ansiblelint --offline --profile production
	@$(MAKE) --no-print-directory sanity

sanity: env
	@sh tests/tooling/sanity.sh

docs: env
	@sh tests/tooling/docs.sh

unit: env
	$(PYTHON) -m pytest tests/unit

integration: env
	$(PYTHON) -m pytest -n 2 --dist worksteal tests/integration

# A folder of its own each time: molecule's old state would make it skip steps.
molecule: env
	@sh tests/tooling/molecule.sh

test: export TEST_RECORD_DIR := $(RECORD)
test: env
	@rm -rf "$(RECORD)"
	@$(MAKE) --no-print-directory lint docs unit integration molecule
	@$(PYTHON) tests/tooling/summary.py "$(RECORD)"

# FAULTS='--seed 7 --each 3' repeats or shortens a run.
test-faults: env
	@PYTHONPATH="$(CURDIR)/.ansible/collections" $(PYTHON) -m tests.faults.suite $(FAULTS)

demo: env
	@PYTHONPATH="$(CURDIR)/.ansible/collections" $(PYTHON) -m tests.demo

build: env
	@$(PYTHON) tests/tooling/stage.py --build dist

lock:
	@sh tests/tooling/lock.sh

clean:
	rm -rf .venv .ansible .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis collections dist tests/output
