# Two commands from a fresh clone: `make demo` and `make test`. Each makes the environment if it is missing.
PYTHON ?= python3
BIN := .venv/bin
OLDEST := 3.11

# `make .venv` makes the environment; the mark is written last, so that half an installation is not taken for one.
.PHONY: .venv demo test lint bench gallery docs linkcheck clean

.venv: .venv/.complete

.venv/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	"hf-saliency needs Python $(OLDEST) or later. $(PYTHON) is Python %d.%d (%s). \
	Name a newer one: make PYTHON=python$(OLDEST) $(MAKECMDGOALS)" % (v[0], v[1], sys.executable))'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv
	$(BIN)/hf-saliency demo --output demo-output

test: .venv
	$(BIN)/python -m pytest -n auto
	$(BIN)/python -m pytest tests/attribution tests/score/test_score.py --jaxtyping-packages=hf_saliency,beartype.beartype

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pydoclint hf_saliency examples benchmarks

bench: .venv
	$(BIN)/python benchmarks/masked_sweep.py
	$(BIN)/python benchmarks/unmasked_sweep.py
	$(BIN)/python benchmarks/integrated_gradients.py
	$(BIN)/python benchmarks/methods.py
	$(BIN)/python benchmarks/figures.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/files_opened.py

gallery: .venv
	$(BIN)/python examples/gallery.py
	$(BIN)/python examples/tasks.py

# The documentation site, with its notebooks run; warnings are errors.
docs: .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

linkcheck: docs
	$(BIN)/python -m sphinx -b linkcheck docs docs/_build/linkcheck

clean:
	rm -rf .venv demo-output
