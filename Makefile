# Everything a developer or an operator types. `make help` lists it.
#
# The environment is made from the lock files, by uv where it is on PATH, else by pip. A stamp in it
# names the state of the files it was made from: when they change it is made again, when they have
# not, nothing is run. The stamp is written last, so an interrupted installation starts over.

PYTHON ?= # the interpreter to build on; without it, the first of PYTHONS that is new enough
VENV ?= .venv
ARGS ?= # more words for the command behind serve, test, defects, bench and lock
WORKERS ?= 4 # processes that run tests at once; most tests wait more than they compute
CI_WORKERS ?= 6 # the same for test-ci and test-long, whose slow tests wait even more

PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
BIN := $(VENV)/bin
# The directory counts too: an environment that has been moved no longer finds itself.
STATE := $(shell { cat requirements.lock requirements-dev.lock pyproject.toml; echo '$(CURDIR)'; } \
	| cksum | cut -d ' ' -f 1)
SERVE_READY := $(VENV)/ready-to-serve-$(STATE)
TEST_READY := $(VENV)/ready-to-test-$(STATE)
# Stamps count for nothing when the interpreter has gone away under them.
ifneq ($(shell $(BIN)/python -c 'print("alive")' 2>/dev/null),alive)
.PHONY: $(SERVE_READY) $(TEST_READY)
endif

.DEFAULT_GOAL := help
.PHONY: help serve install install-dev test test-ci test-long defects lint format lock audit sbom bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "Variables: ARGS='...' for the command behind it, PYTHON=python3.12, VENV=.venv, WORKERS=4"

serve: install ## run the whole service (make serve ARGS='--help')
	@exec $(BIN)/ilios serve $(ARGS)

install: $(SERVE_READY) ## make the environment the service runs in

install-dev: $(TEST_READY) ## add the tools for tests and checks to it

# Three tiers, by the markers slow and long. A test without either is in all but test-long.
# Compiled tests are kept: each worker reads all of them, which takes twice as long otherwise.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --dist worksteal

test: install-dev ## run the quick tests (make test ARGS='-k house')
	@$(PYTEST) -n $(WORKERS) -m 'not slow and not long' $(ARGS)

test-ci: install-dev ## run the quick and the slow tests, as .ci/run does
	@$(PYTEST) -n $(CI_WORKERS) -m 'not long' $(ARGS)

test-long: install-dev ## run the tests that take too long for .ci/run
	@$(PYTEST) -n $(CI_WORKERS) -m long $(ARGS)

defects: install-dev ## see whether the tests notice defects (make defects ARGS='--list')
	@$(BIN)/python -m tests.defects $(ARGS)

lint: install-dev ## check format, style and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: install-dev ## put the sources into their format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# In an environment of its own: what asks about the locks must not be part of them.
audit: install ## ask the advisory database about every pinned version (needs the internet)
	@test -x .audit/bin/pip-audit || { $(BIN)/python -m venv .audit \
		&& .audit/bin/python -m pip install -qq 'pip-audit>=2.10,<3'; }
	.audit/bin/pip-audit --require-hashes --disable-pip -r requirements.lock -r requirements-dev.lock

# pyproject.toml has no version of its own, and a list of components needs one.
sbom: install ## list the components of a release as CycloneDX JSON, in dist/ (needs the internet)
	@test -x .sbom/bin/cyclonedx-py || { $(BIN)/python -m venv .sbom \
		&& .sbom/bin/python -m pip install -qq 'cyclonedx-bom>=7.5,<8'; }
	@set -eu; mkdir -p dist; \
	version=$$($(BIN)/python -c 'import ilios; print(ilios.__version__)'); \
	sed "s/^dynamic = .*/version = \"$$version\"/" pyproject.toml > .sbom/pyproject.toml; \
	PYTHONWARNINGS=ignore .sbom/bin/cyclonedx-py requirements requirements.lock \
		--pyproject .sbom/pyproject.toml --mc-type application --output-reproducible \
		--output-format JSON --output-file "dist/ilios-$$version.cdx.json"; \
	echo "dist/ilios-$$version.cdx.json"

bench: install-dev ## measure this machine (make bench ARGS='--help')
	@$(BIN)/python -m bench $(ARGS)

# Keeps what is pinned; to change that: ARGS='--upgrade' or ARGS='--upgrade-package pillow'.
# One resolution holds for every platform and every Python we support. No address of an index gets
# into the locks: where packages come from is the machine's affair, which packages is ours.
LOCK = uv pip compile pyproject.toml --extra serve --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(ARGS)

lock: ## pin the dependencies of pyproject.toml again (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group dev --constraints requirements.lock --output-file requirements-dev.lock

clean: ## remove what was made here, but not your data
	rm -rf $(VENV) .audit .sbom dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call install_lock,FILE): exactly what the lock has, or nothing. Compiled at once, because uv
# leaves that to the first start otherwise, and some machines forbid it there. pip is told to be
# silent (-qq) because it warns of every package that one of several indexes does not have.
define install_lock
	if command -v uv >/dev/null; then \
		uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r $(1); \
	else \
		$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r $(1); \
	fi
endef

# No marker of a lock can ask for the C library, and pip would fail without a reason much later.
define GLIBC_CHECK
import os, platform, sys
if (sys.platform, platform.machine()) == ("linux", "x86_64"):
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (AttributeError, ValueError, OSError):
        name, version = "another C library", "unknown"
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    if name != "glibc" or numbers < [2, 34]:
        sys.exit(
            f"ilios needs glibc 2.34 or newer on x86-64 (Debian 12, Ubuntu 22.04, RHEL 9); here is "
            f"{name} {version}. The container image (deploy/Dockerfile) brings its own."
        )
endef
export GLIBC_CHECK

$(SERVE_READY):
	@set -eu; \
	for python in $(or $(strip $(PYTHON)),$(PYTHONS)); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "ilios needs Python 3.11 or newer; tried: $(or $(strip $(PYTHON)),$(PYTHONS))." >&2; \
		echo "Name one with: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; \
	fi; \
	"$$python" -c "$$GLIBC_CHECK"; \
	echo "Making $(VENV) with $$("$$python" --version), the first time takes a minute ..."; \
	rm -rf $(VENV); \
	if command -v uv >/dev/null; then \
		uv venv --quiet --no-python-downloads --python "$$python" $(VENV); \
	else \
		"$$python" -m venv $(VENV); \
	fi; \
	$(call install_lock,requirements.lock); \
	if command -v uv >/dev/null; then \
		uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
		$(BIN)/python -m pip install -qq --disable-pip-version-check \
			--no-deps --no-build-isolation -e .; \
	fi; \
	touch $@

# The first stamp is away while the tools come in: interrupted here, all of it starts over.
$(TEST_READY): | $(SERVE_READY)
	@set -eu; \
	rm -f $(SERVE_READY); \
	echo "Adding the tools for tests and checks ..."; \
	$(call install_lock,requirements-dev.lock); \
	touch $(SERVE_READY) $@
