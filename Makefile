# Everything runs from a private environment in .venv, made from the locked requirements.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
GENERATORS = $(VENV)/generators
# It has pipefail.
SHELL = /bin/bash

PORT ?= 8201
STATE_DIR ?= .local
DEMO ?= 1
SECONDS ?= 600
NODES ?= 1
OUT ?= dist
# For these alone: to a test that reads settings they would be somebody's.
up: export PORT := $(PORT)
up: export DEMO := $(DEMO)
up bench: export STATE_DIR := $(STATE_DIR)

# Nothing outside this folder changes, no cache in somebody's home either.
export PIP_NO_CACHE_DIR = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help up demo test test-services test-users test-security test-containers test-deaths test-other-faults test-unit \
	e2e faults monitoring restore-drill security audit sbom packages release check lint format migrate bench openapi asyncapi cli \
	site events clients postman lock clean image pin-images

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.standalone ## Run everything here: PORT=8201 STATE_DIR=.local DEMO=1
	@echo "Starting Login2FA ..."; exec $(RUN) -m services up

demo: $(VENV)/.standalone ## Start a throw-away stack, walk through a login as a client does, and stop
	@exec $(RUN) -m deploy.standalone.demo

# Tests wait most of the time: four lanes of them run side by side, and end at much the same time. Faults have bounds, and
# the machine for themselves; but for those of whole processes that start or do not.
CONTAINERS = tests/browser tests/compose tests/e2e tests/gateway tests/testkit tests/model tests/kubernetes tests/unit
STARTS = $(wildcard tests/faults/test_standalone_*.py) tests/faults/test_processes_refuse_to_start.py
# The first statements of docs/security.md run with the tests of accounts and logins.
FIRST = $(wildcard tests/security/test_s[0-2]*.py tests/security/test_s3[0-35]*.py)
USERS = tests/integration/users tests/integration/auth $(FIRST)
SECURITY = tests/security tests/integration/portal $(STARTS)
# Two lanes that wait most of the time, and end together: processes and servers that die, and the other faults.
FAULTS = tests/faults
DEATHS = $(wildcard tests/faults/rows/test_0*.py tests/faults/rows/test_1[0-2]_*.py) tests/faults/run
# On servers that were given, two runs at once would get in each other's way.
ALONE = $(strip $(ARGS)$(TEST_POSTGRES_URL)$(TEST_RABBITMQ_URL))

# Each service that a test composes, and each process that it starts, would read all authorities of a machine that names
# them: 18 ms, up to three times. Only the lane of containers asks servers of others.
PYTEST = env -u SSL_CERT_FILE $(RUN) -m pytest -p no:cacheprovider

test: $(VENV)/.dev ## All tests, on real Postgres and RabbitMQ: ARGS='-k login'
ifneq ($(ALONE),)
	$(RUN) -m pytest $(ARGS)
else
	@$(MAKE) --no-print-directory -j4 test-services test-users test-security test-containers
	@$(MAKE) --no-print-directory -j2 test-deaths test-other-faults
endif

test-services: $(VENV)/.dev
	@set -o pipefail; $(PYTEST) tests $(addprefix --ignore=,$(CONTAINERS) $(USERS) $(SECURITY) $(FAULTS)) 2>&1 \
		| sed -u 's/^/services:   /'

test-users: $(VENV)/.dev
	@set -o pipefail; $(PYTEST) $(USERS) 2>&1 | sed -u 's/^/users:      /'

test-security: $(VENV)/.dev
	@set -o pipefail; $(PYTEST) $(SECURITY) $(addprefix --ignore=,$(FIRST)) 2>&1 | sed -u 's/^/security:   /'

test-containers: $(VENV)/.dev
	@set -o pipefail; $(RUN) -m pytest -p no:cacheprovider $(CONTAINERS) 2>&1 | sed -u 's/^/containers: /'

test-deaths: $(VENV)/.dev
	@set -o pipefail; $(PYTEST) $(DEATHS) 2>&1 | sed -u 's/^/deaths:       /'

test-other-faults: $(VENV)/.dev
	@set -o pipefail; $(PYTEST) $(FAULTS) $(addprefix --ignore=,$(STARTS) $(DEATHS)) 2>&1 \
		| sed -u 's/^/other faults: /'

test-unit: $(VENV)/.dev ## The tests that need no server
	$(RUN) -m pytest tests/unit $(ARGS)

e2e: $(VENV)/.dev ## The product in containers, as its users have it; needs a Docker engine
	REQUIRE_E2E=1 $(RUN) -m pytest tests/compose tests/e2e tests/testkit tests/systemd tests/kubernetes -m "long or not long" $(ARGS)
	$(RUN) -m pytest tests/integration -m long

faults: $(VENV)/.dev ## Every fault of docs/reliability.md, then a random run: SECONDS=600 NODES=1; SEED= repeats one
	$(if $(SEED),,$(RUN) -m pytest tests/faults tests/model -m "long or not long" $(ARGS))
	PYTHONPATH=testkit $(RUN) -m tests.faults.run --seconds $(SECONDS) --nodes $(NODES) $(if $(SEED),--seed $(SEED))

monitoring: $(VENV)/.dev ## Alerts and dashboards on the real stack, after all kinds of trouble: does each fire, is any empty?
	@$(RUN) -m pytest -p no:cacheprovider tests/monitoring -m "long or not long" $(ARGS)

restore-drill: $(VENV)/.dev ## Back up a running stack, restore it, and see that nobody comes in who has been shut out since
	$(RUN) -m pytest tests/restore -m "long or not long" $(ARGS)

clients: $(VENV)/.dev $(GENERATORS)/.done ## What generators make of the OpenAPI document, and linters say; a login on /docs
	$(RUN) -m pytest -p no:cacheprovider tests/clients tests/browser/test_docs_page.py -m "long or not long" $(ARGS)

bench: $(VENV)/.bench ## How near to the limit of this machine? Figures and pictures into STATE_DIR/bench; ROWS='login me'
	PYTHONPATH=testkit $(RUN) -m tests.bench $(ROWS)

security: $(VENV)/.dev ## Every statement of docs/security.md, the long ones too, and the audit
	$(RUN) -m pytest tests/security -m "long or not long" $(ARGS)
	@$(MAKE) --no-print-directory audit

audit: $(VENV)/.audit ## Are the locks true, and free of known vulnerabilities? REQUIRE_AUDIT=1 fails where PyPI is away
	@$(RUN) -m tests.security.audit

sbom: $(VENV)/.audit ## What the locked packages are, as CycloneDX: sbom.cdx.json
	$(RUN) -m cyclonedx_py requirements --output-reproducible --pyproject pyproject.toml -o sbom.cdx.json requirements/runtime.txt

packages: $(VENV)/.audit ## What `pip install` of our wheels gives, on each Python that is here; two releases are the same bytes
	$(RUN) -m pytest -p no:cacheprovider tests/packages tests/testkit/test_from_outside.py -m "long or not long" $(ARGS)

release: $(VENV)/.audit ## Wheels, sdists, images, what is in them and where it is from, into OUT=dist; uploads nothing
	@$(RUN) -m deploy.release --out $(OUT)

check: lint ## Lint, types, import contracts, and no broken promise of the API or of an event
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	cd clients/python && $(abspath $(VENV))/bin/lint-imports --no-logo
	cd testkit && $(abspath $(VENV))/bin/lint-imports --no-logo
	$(RUN) -m tests.contracts.promises
	$(RUN) -m tests.contracts.event_promises

openapi: $(VENV)/.dev ## Write the OpenAPI document that is frozen in the repository, and its page: docs/openapi.json, docs/api.md
	$(RUN) -m deploy.openapi

asyncapi: $(VENV)/.dev ## Write what the repository holds of the events' contract: docs/asyncapi.json, docs/events.md
	$(RUN) -m deploy.asyncapi

events: $(VENV)/.dev ## Events for other programs: a worked consumer on the real stack, and @asyncapi/parser (needs npm)
	$(RUN) -m pytest -m 'long or not long' tests/contracts/test_asyncapi.py tests/e2e/test_account_consumer.py $(ARGS)

cli: $(VENV)/.dev ## Write what the commands say of themselves: docs/cli.md
	$(RUN) -m typer services.cli utils docs --name login2fa --title "The command login2fa" --output docs/cli.md

site: $(VENV)/.dev ## The documents as a site, into the folder site
	$(VENV)/bin/mkdocs build --strict

lint: $(VENV)/.dev ## Lint and format, without changing anything
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

format: $(VENV)/.dev ## Put the format right
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

migrate: $(VENV)/.standalone ## Bring the schemas up to date: MIGRATOR_DATABASE_URL=
	@exec $(RUN) -m services migrate

postman: $(VENV)/.standalone node_modules/.newman ## Run the Postman collection against a throw-away stack
	@exec $(RUN) -m deploy.standalone.postman

image: ## Build the two container images, labelled with this commit
	REVISION=$$(git rev-parse HEAD) CREATED=$$(git show -s --format=%cI HEAD) docker compose build

pin-images: $(VENV)/.standalone ## Write the registry's digest after the tag of each base image: deploy/images.env
	@exec $(RUN) -m deploy.images

COMPILE = $(VENV)/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

lock: $(VENV)/.dev ## Compile pyproject.toml into requirements/
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra standalone -c requirements/runtime.txt -o requirements/standalone.txt
	$(COMPILE) pyproject.toml --extra otel -c requirements/runtime.txt -o requirements/otel.txt
	$(COMPILE) pyproject.toml --extra standalone --extra otel --group dev -c requirements/standalone.txt -c requirements/otel.txt -o requirements/dev.txt
	$(COMPILE) --group audit -c requirements/dev.txt -o requirements/audit.txt
	$(COMPILE) pyproject.toml --extra standalone --extra otel --group dev --group bench -c requirements/dev.txt -o requirements/bench.txt

clean: ## Remove the environment and the caches; the state in STATE_DIR stays
	rm -rf $(VENV) node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# A stamp per set of packages; dev holds all of standalone. (An environment that uv has made comes without pip.)
INSTALL = $(RUN) -m pip --version >/dev/null 2>&1 || $(RUN) -m ensurepip >/dev/null; \
	echo "Installing packages into $(VENV) ..."; set -o pipefail; $(PIP) $(1) | awk '$(PROGRESS)'
PIP = $(RUN) -m pip install --progress-bar off --require-hashes -r
PROGRESS = /^(Collecting|Requirement already)/ { printf "\r  %d fetched", ++n; fflush() } \
	/^Installing collected/ { printf "\r  %d fetched; now they are unpacked ...", n; fflush() } END { print "" }

$(VENV)/.standalone: requirements/standalone.txt | $(VENV)/bin/python
	@test $(VENV)/.dev -nt $< || { $(call INSTALL,$<); }
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/bin/python
	@$(call INSTALL,$<)
	@touch $@

$(VENV)/.audit: requirements/audit.txt $(VENV)/.dev
	@$(call INSTALL,$<)
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	@$(call INSTALL,$<)
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Login2FA needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@echo "Making a Python environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Cannot make a virtual environment: on Debian and Ubuntu install the package python3-venv." >&2; exit 1; }

NPM = --no-save --no-package-lock --no-audit --no-fund --loglevel=error

# In a folder of their own: the generator wants an older typer than ours, and npm would remove what `make postman` installed.
GENERATOR = openapi-python-client==0.29.1
NODE_TOOLS = @hey-api/openapi-ts@0.95.0 @redocly/cli@2.77.0 @stoplight/spectral-cli@6.16.3 @types/node@20.19.43 \
	openapi-fetch@0.17.0 openapi-typescript@7.13.0 typescript@5.9.3

$(GENERATORS)/.done: Makefile | $(VENV)/bin/python
	@command -v npm >/dev/null || { echo "The generators for TypeScript need Node.js: install the package npm." >&2; exit 1; }
	@echo "Installing generators of clients into $(GENERATORS) ..."
	$(RUN) -m venv $(GENERATORS)
	$(GENERATORS)/bin/python -m pip install -q $(GENERATOR)
	npm install --prefix $(GENERATORS) --cache $(GENERATORS)/.npm-cache $(NPM) $(NODE_TOOLS)
	@touch $@

node_modules/.newman:
	@command -v npm >/dev/null || { echo "newman needs Node.js: install the package npm." >&2; exit 1; }
	npm install --prefix . --cache node_modules/.npm-cache $(NPM) newman@6
	@touch $@
