# One place for everything that people and CI run. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help run up down test test-engine long lint lock bench deploy sbom seeds sweep soak permissions pictures images compose-up compose-down clean

PYTHON ?= python3
RUN = .venv/bin/python
CONF ?= {}
CLASSIFIER ?= mnist

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 14

run: .environment ## the whole pipeline once on this machine; CONF='{"candidates": 4}' changes its parameters, CLASSIFIER=contracts trains the example, ATTESTED=1 has the promoter attest itself (in software: not a TEE)
	@$(RUN) -m tools.run --conf '$(CONF)' --classifier '$(CLASSIFIER)' $(if $(ATTESTED),--attested)

up: .environment ## Airflow's UI and scheduler with the one-machine cloud
	@$(RUN) -m tools.up

down: ## stop what `make up` started
	@test ! -x $(RUN) || $(RUN) -m tools.down

test: .environment-dev ## all tests
	@$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --ignore tests/engine $(ARGS)
	@$(MAKE) --no-print-directory test-engine

test-engine: .environment-dev ## those that need a Docker engine: images, tasks as containers, docker-compose.yaml
	@$(RUN) -m pytest tests/engine $(ARGS)

long: .environment-dev ## the long forms of some of these tests (5 minutes): 1,000 steps against Keras, a full run killed 18 times
	@$(RUN) -m pytest -m long $(ARGS)

lint: .environment-dev ## style, types, direction of imports, templates, secrets
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@.venv/bin/lint-imports
	@.venv/bin/cfn-lint infra/*.yaml
	@$(RUN) -m tools.checkov
	@$(RUN) -m tools.secret_scan

lock: .environment ## recompile the lock files; ARGS=--upgrade takes newer versions
	@$(RUN) -m tools.lock $(ARGS)

deploy: .environment ## to AWS: registry, network, images, pipeline, monitoring; ARGS="--bucket NAME --dry-run" only says what
	@$(RUN) -m tools.deploy $(ARGS)

sbom: .environment-dev ## software bill of materials of each lock (CycloneDX), into build/sbom
	@$(RUN) -m tools.sbom

bench: .environment ## how fast it is, and against what (15 minutes); ARGS=--quick only tries it out
	@$(RUN) -m benchmarks $(ARGS)

seeds: .environment ## its accuracy over 20 seeds against Keras fit (20 minutes); stopped, it goes on where it was
	@$(RUN) -m benchmarks.seeds $(ARGS)

sweep: .environment-dev ## strike every call of every step and compare what is left (an hour on an idle machine); ARGS="--step promote --fault killed" sweeps a part, --resume goes on
	@$(RUN) -m tests.sweep $(ARGS)

soak: .environment-dev ## a year of nights: does anything grow? (an hour on an idle machine); stopped, it goes on where it was
	@$(RUN) -m tests.soak $(ARGS)

permissions: .environment ## do the roles' permissions fit exactly? Records a run of everything and holds it against the template (several minutes)
	@$(RUN) -m tools.permissions

pictures: .environment-dev ## photographs of page, report and mail for the README, from real runs (3 minutes)
	@$(RUN) -m tools.pictures

images: .environment ## the container images, with docker, through the package index that pip is set up for
	@$(RUN) -m tools.images $(ARGS)

compose-up: .environment ## docker-compose.yaml, after make images: Airflow on PostgreSQL with the one-machine cloud
	@$(RUN) -m tools.engine up

compose-down: .environment ## stop it; ARGS=--volumes forgets its data as well
	@$(RUN) -m tools.engine down $(ARGS)

clean: down ## remove environments, local state and results (downloads in pip's and uv's own caches stay)
	rm -rf .venv .venv-cloud .venv-bench-* .venv-checkov .localcloud .airflow .cache build

.PHONY: .environment .environment-dev
.environment:
	@$(PYTHON) tools/environment.py
.environment-dev:
	@$(PYTHON) tools/environment.py --dev
