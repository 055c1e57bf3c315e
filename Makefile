# Two commands: `make tour` shows what Famulus does, `make test` checks it. Each sets up what is missing first.
#   make venv    only create .venv (to put a torch of your own into it before the rest)
#   make vscode  build the extension for VS Code (needs Node.js 20 or newer)
#   make lint    the checks of make test that run no code of ours
#   make clean   remove everything that make created
PYTHON ?= python3
PYTHONS := $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14
BIN := .venv/bin
MODEL := .venv/share/famulus/models/smollm2-135m-instruct/famulus-manifest.json
KERNEL := .venv/share/jupyter/kernels/famulus/kernel.json
MAKEFLAGS += --no-print-directory
# Two makes at once: the second waits for the set-up of the first. Without flock (macOS) they are not kept apart.
ONE_AT_A_TIME := $(if $(shell command -v flock),flock Makefile)

.PHONY: help tour test lint clean venv ready checks vscode
.DEFAULT_GOAL := help
.NOTPARALLEL:

help:
	@sed -n 's/^# *//;1,5p;6q' Makefile

tour: ready
	@$(BIN)/famulus tour

test: checks
	@$(BIN)/pytest -n 2 --dist loadfile -m "not gpu and not peer"

lint: checks

checks: ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

vscode: ready
	@command -v npm >/dev/null || { echo "make vscode needs npm: install Node.js 20 or newer." >&2; exit 1; }
	@cd editors/vscode && npm ci --ignore-scripts --no-audit --no-fund && npm run package
	@echo "Now: code --install-extension editors/vscode/famulus.vsix"

venv ready:
	@$(ONE_AT_A_TIME) $(MAKE) .make-$@

# A virtual environment works only where it was made: its scripts name their interpreter by its full path.
MADE_HERE := grep -qF "$(CURDIR)/.venv/" $(BIN)/pip && $(BIN)/python -c ''
.PHONY: .make-venv .make-ready
.make-venv:
	@{ $(MADE_HERE); } 2>/dev/null || $(MAKE) .new-venv

.make-ready: .make-venv
	@$(MAKE) --silent $(MODEL) $(KERNEL)

.PHONY: .new-venv
.new-venv:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Creating .venv with $$($$python --version)"; \
	    $$python -m venv --clear .venv && exit 0; \
	    echo "$$python cannot create a virtual environment; on Debian and Ubuntu install python3-venv." >&2; exit 1; \
	  fi; \
	done; \
	echo "Famulus needs Python 3.11 or newer, and none is on the PATH. Install one, or name it: make tour PYTHON=..." >&2; \
	exit 1

# A torch that is there already stays, if it is new enough; pip's own configuration decides where all else comes from.
.venv/.installed: pyproject.toml constraints.txt setup.py $(wildcard kernels/cpu/*.cpp kernels/cpu/*.h kernels/cpu/*.inc)
	@torch=$$($(BIN)/python -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || true); \
	case $$torch in \
	  2.[0-9].*|2.10.*|[01].*|'') cp constraints.txt .venv/constraints.txt ;; \
	  *) echo "Keeping torch $$torch"; \
	     sed -e "s/^torch==.*/torch==$$torch/" -e '/^triton==/d' constraints.txt >.venv/constraints.txt ;; \
	esac
	@echo "Installing Famulus and what it needs; the first time this takes some minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .venv/constraints.txt --editable '.[dev]'
	@touch $@

$(MODEL): engine/catalog.toml | .venv/.installed
	@$(BIN)/python -P -m famulus.engine.download --embedded --into .venv
	@touch $@

$(KERNEL): jupyter_kernel/install.py | .venv/.installed
	@$(BIN)/famulus kernel install --sys-prefix >/dev/null
	@touch $@

clean:
	rm -rf .venv .e2e build dist famulus.egg-info kernels/cpu/*.so editors/vscode/node_modules editors/vscode/out editors/vscode/dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
