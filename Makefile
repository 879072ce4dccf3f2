# Every target does its own set-up: Python 3.11 or newer, make and a network are enough.
.DEFAULT_GOAL := help
PYTHON ?= python3
WORKERS ?= 3
READY := .venv/.ready

.PHONY: help setup demo test malformed model year amounts bench lint format generate lock image clean

help: ## What there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with the locked dependencies and the qbsync command

$(READY): requirements-dev.lock pyproject.toml
	$(PYTHON) dev/setup.py
	@touch $@

demo: setup ## The main job on a real kube-apiserver and the simulator (ARGS=--once leaves at the end)
	@.venv/bin/python dev/demo/demo $(ARGS)

test: lint ## All checks and all tests
	@.venv/bin/python dev/testtools.py
	@dev/controlplane/controlplane bin
	.venv/bin/pytest -n $(WORKERS) --dist worksteal $(ARGS)

malformed: setup ## 14,000 malformed requests against the simulator (SEED=… repeats a run)
	MALFORMED_REQUESTS=14000 $(if $(SEED),MALFORMED_SEED=$(SEED)) .venv/bin/pytest -q tests/component/simulator/test_malformed.py

model: setup ## 10,000 random histories of a grant and 5,000 of invoices (SEED=… repeats a run)
	QBSYNC_MODEL_HISTORIES=10000 $(if $(SEED),QBSYNC_MODEL_SEED=$(SEED)) .venv/bin/pytest -q tests/unit/tokens/test_model.py
	QBSYNC_MODEL_HISTORIES=5000 $(if $(SEED),QBSYNC_MODEL_SEED=$(SEED)) .venv/bin/pytest -q tests/component/invoices/test_model.py

year: setup ## A year of 50 grants: an outage of 6 hours, a change of the master key
	QBSYNC_YEAR_DAYS=365 .venv/bin/pytest -q tests/component/tokens/test_year.py

amounts: setup ## 100,000 random lines of invoices, to the cent (SEED=… repeats a run)
	QBSYNC_AMOUNT_LINES=100000 $(if $(SEED),QBSYNC_AMOUNT_SEED=$(SEED)) .venv/bin/pytest -q tests/component/invoices/test_amounts.py

bench: setup ## What the simulator does on one core; how long a fresh token takes, and a new one to be safe
	.venv/bin/python bench/simulator.py
	.venv/bin/python bench/tokens.py
	.venv/bin/python bench/answers.py

lint: setup ## Style, types, import directions
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy -p qbsync -p localplane
	.venv/bin/lint-imports

format: setup ## Put the code in form
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

generate: setup ## Write crds/ and what is made from them anew, after a change of operator/qbsync/api
	.venv/bin/python -m qbsync.api.generate
	.venv/bin/python dev/chart_crds.py

lock: setup ## Resolve the dependencies anew
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --extra dev pyproject.toml -o requirements-dev.lock
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header -c requirements-dev.lock pyproject.toml -o requirements.lock
	echo hatchling | .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" -c requirements-dev.lock - \
		-o dev/image/build-requirements.txt

image: ## Build the container image (CONTAINER=docker, BASE_IMAGE=…)
	$(or $(CONTAINER),podman) build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) -t qbsync:0.1.0 .

clean: ## Remove what was made here; the control plane's cache stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis tests/sdk/node/node_modules
