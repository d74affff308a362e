# make run and make test need nothing but Python 3.11 or newer and a network.

PYTHON ?= python3
VENV = .venv
FUZZ_SECONDS ?= 60
BENCH ?= all
SOAK_SECONDS ?= 600
BIN = $(VENV)/bin
# What an installation depends on
INPUTS = setup.cfg setup.py pyproject.toml rapidrtmp/web/package.json \
    rapidrtmp/web/package-lock.json tools/setup_venv.py tools/dash_js.py

.PHONY: help run test test-long soak lint unit compiled-test fuzz audit pins bench bench-quick docs dist \
    version screenshots clean

help:
	@echo 'make run    start the server with a live demo; settings come from the environment,'
	@echo '            for example: make run HTTP_ADDR=:9090'
	@echo 'make test   all checks and tests; installs what they need'
	@echo 'make test-long   ten minutes of playing, a long outage, six hours in virtual time'
	@echo 'make soak   load that comes and goes, with faults, for SOAK_SECONDS=600'
	@echo 'make lint   formatter, linter, types, imports, spelling'
	@echo 'make unit   the unit tests'
	@echo 'make compiled-test   the same of the package with compiled modules; needs a C compiler'
	@echo 'make fuzz   look for input that breaks something, FUZZ_SECONDS=60 for each kind of input'
	@echo 'make audit  look the versions in the image up as vulnerable, scan the TLS'
	@echo 'make pins   write the list of those versions anew'
	@echo 'make bench  measure what the server costs, beside others that are installed: about an hour;'
	@echo '            less: make bench BENCH="fanout --players 100"; make bench BENCH=--help'
	@echo 'make bench-quick   the main points, in three minutes'
	@echo 'make docs   build the documentation into docs/_build/html'
	@echo 'make dist   build the wheel and the source distribution into dist, and check them'
	@echo 'make version   write the version of the next release, V=1.2.3, wherever it stands'
	@echo 'make screenshots   take the pictures in docs/images anew'
	@echo 'make clean  remove what was built; the virtual environment $(VENV) stays'
	@echo 'Another interpreter: make PYTHON=/path/to/python3 ...'

$(VENV)/.installed-%: $(INPUTS)
	@$(PYTHON) tools/setup_venv.py $(VENV) $*
	@touch $@

run: $(VENV)/.installed-demo
	@exec $(BIN)/rapidrtmp demo

test: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/run_tests.py

test-long: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/run_tests.py long

version:
	@$(PYTHON) tools/version.py '$(V)'

soak: $(VENV)/.installed-dev
	@SOAK_SECONDS=$(SOAK_SECONDS) exec $(BIN)/python tools/run_tests.py soak

lint: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/run_tests.py checks

unit: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/run_tests.py unit

compiled-test: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/run_tests.py compiled

fuzz: $(VENV)/.installed-fuzz
	@exec $(BIN)/python -m fuzz $(FUZZ_SECONDS)

audit: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/audit.py

pins: $(VENV)/.installed-dev
	@exec $(BIN)/python tools/audit.py pin

bench: $(VENV)/.installed-dev
	@exec $(BIN)/python -m benchmarks $(BENCH)

bench-quick: $(VENV)/.installed-dev
	@exec $(BIN)/python -m benchmarks quick

docs: $(VENV)/.installed-dev
	$(BIN)/rapidrtmp config --markdown > docs/reference/settings.md
	$(BIN)/python -m rapidrtmp.observability.metrics_reference > docs/reference/metrics.md
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html

dist: $(VENV)/.installed-dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

screenshots: $(VENV)/.installed-dev
	$(BIN)/python tools/screenshots.py

clean:
	rm -rf build dist docs/_build *.egg-info _trial_temp* .coverage* .mypy_cache .ruff_cache \
	    .import_linter_cache .hypothesis rapidrtmp/web/static/vendor tests/browser/vendor twisted/plugins/dropin.cache
	find rapidrtmp tests tools twisted benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f $(VENV)/.installed-*
