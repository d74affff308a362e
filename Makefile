# make run and make test need nothing but Python 3.11 or newer and a network.

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
# What an installation depends on
INPUTS = setup.cfg setup.py pyproject.toml rapidrtmp/web/package.json \
    rapidrtmp/web/package-lock.json tools/setup_venv.py

.PHONY: help run test lint unit docs clean

help:
	@echo 'make run    start the server with a live demo; settings come from the environment,'
	@echo '            for example: make run HTTP_ADDR=:9090'
	@echo 'make test   all checks and tests; installs what they need'
	@echo 'make lint   formatter, linter, types, imports, spelling'
	@echo 'make unit   the unit tests'
	@echo 'make docs   build the documentation into docs/_build/html'
	@echo 'make clean  remove what was built; the virtual environment $(VENV) stays'
	@echo 'Another interpreter: make PYTHON=/path/to/python3 ...'

$(VENV)/.installed-%: $(INPUTS)
	@$(PYTHON) tools/setup_venv.py $(VENV) $*
	@touch $@

run: $(VENV)/.installed-demo
	@exec $(BIN)/rapidrtmp demo

test: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/run_tests.py

lint: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/run_tests.py checks

unit: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/run_tests.py unit

docs: $(VENV)/.installed-dev
	$(BIN)/rapidrtmp config --markdown > docs/settings.md
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html

clean:
	rm -rf build dist docs/_build *.egg-info _trial_temp* .coverage* .mypy_cache .ruff_cache \
	    .import_linter_cache .hypothesis rapidrtmp/web/static/vendor twisted/plugins/dropin.cache
	find rapidrtmp tests tools twisted -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f $(VENV)/.installed-*
