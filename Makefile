# Two commands from a fresh clone: `make demo` and `make test`. Each makes the environment if it is missing.
PYTHON ?= python3
BIN := .venv/bin
LOWEST := .venv-lowest/bin
OLDEST := 3.11
# --no-compile: Python compiles modules when they are imported; compiling all of PyTorch and Ray takes longer than
# installing them.
PINNED := -m pip install --quiet --no-compile -c constraints.txt

# `make .venv` makes the environment; its mark is written last, so an interrupted installation does not count as complete.
.PHONY: .venv demo test test-random test-lowest lint wheel bench bench-peers gallery docs linkcheck axe check-release clean

.venv: .venv/.complete

.venv/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	"hf-saliency needs Python $(OLDEST) or later. $(PYTHON) is Python %d.%d (%s). \
	Name a newer one: make PYTHON=python$(OLDEST) $(MAKECMDGOALS)" % (v[0], v[1], sys.executable))'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PINNED) torch
	$(BIN)/python $(PINNED) -e ".[dev]"
	touch $@

demo: .venv
	$(BIN)/hf-saliency demo --output demo-output

# Tests of one file stay in one process where possible, because they share models and browsers.
PARALLEL := -n auto --dist worksteal

# Array shapes and types in signatures are checked in the tests with most of them; tests that pass wrong types run
# without these checks.
TYPED := tests/attribution tests/score/test_score.py
test: .venv
	$(BIN)/python -m pytest $(PARALLEL) $(TYPED:%=--ignore=%)
	$(BIN)/python -m pytest $(PARALLEL) $(TYPED) --jaxtyping-packages=hf_saliency,beartype.beartype
	$(BIN)/python -m pytest tests/attribution -m unchecked_types

# Random texts and maps that no earlier run drew, even in CI, where Hypothesis repeats its examples; the seed is printed.
SEED = $(shell $(PYTHON) -c 'import random; print(random.getrandbits(32))')
test-random: .venv
	$(BIN)/python -m pytest $(PARALLEL) --hypothesis-seed=$(SEED) tests/render/test_any_map.py tests/render/typeset/test_any_text.py \
		tests/explain/test_differential.py

# Tests of every room that depends on other packages, with the lowest supported versions, without long corpus runs;
# `make check-release` runs the whole suite with these versions.
PART := tests/attribution/test_gradient_norm.py tests/attribution/test_captum_method.py tests/score/test_score.py \
	tests/targets tests/explain/test_explainer.py tests/adapter/test_encoding.py tests/adapter/test_padding.py \
	tests/maps/test_saliency_map.py tests/maps/test_storage.py tests/maps/test_attachment.py tests/maps/test_table.py \
	tests/render/test_figure.py tests/render/test_latex.py tests/render/test_terminal.py tests/render/html/test_page.py \
	tests/cli/test_cli_tasks.py tests/corpus/test_corpus.py tests/demo

test-lowest: .venv-lowest/.complete
	$(LOWEST)/python -m pytest $(PARALLEL) $(PART) -k "not kills and not memory_is_flat"

# Packages that are not pinned there (torch, test tools) come from .venv, so this takes a minute and little disk space.
.venv-lowest/.complete: .venv/.complete constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > .venv-lowest/path
	$(LOWEST)/python -c 'import shutil, sysconfig; shutil.copy(".venv-lowest/path", sysconfig.get_path("purelib") + "/beside.pth")'
	$(LOWEST)/python -m pip install --quiet -r constraints-lowest.txt -e .
	touch $@

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/support/user_script.py
	$(BIN)/pydoclint hf_saliency examples benchmarks

# Build and check the wheel and the sdist; run the README's first lines with only the wheel in a bare environment.
wheel: .venv
	rm -rf dist build/bare
	$(BIN)/python $(PINNED) -e ".[release]"
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/bare
	build/bare/bin/python $(PINNED) torch
	build/bare/bin/python $(PINNED) dist/*.whl
	build/bare/bin/python tests/support/first_lines.py README.md

bench: .venv
	$(BIN)/python benchmarks/masked_sweep.py
	$(BIN)/python benchmarks/unmasked_sweep.py
	$(BIN)/python benchmarks/integrated_gradients.py
	$(BIN)/python benchmarks/methods.py
	$(BIN)/python benchmarks/figures.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/corpus.py cost
	$(BIN)/python benchmarks/files_opened.py

# The same work with inseq, interpreto, transformers-interpret, ferret, Captum by hand and this package. Each peer has
# a separate environment under build/peers; about half an hour on one core.
bench-peers: .venv
	$(BIN)/python benchmarks/peers/compare.py

gallery: .venv
	$(BIN)/python examples/gallery.py
	$(BIN)/python examples/tasks.py
	$(BIN)/python examples/pages.py

# Build the documentation site and run its notebooks; warnings are errors.
docs: .venv
	$(BIN)/python $(PINNED) -e ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

linkcheck: docs
	$(BIN)/python -m sphinx -b linkcheck docs docs/_build/linkcheck

# Run axe-core, an accessibility checker, on pages and notebook views in a real Chromium.
AXE := build/axe/node_modules/axe-core/axe.min.js
$(AXE):
	npm install --silent --no-save --prefix build/axe axe-core@4.14.1

axe: .venv $(AXE)
	HF_SALIENCY_AXE=$(AXE) HF_SALIENCY_REQUIRE_BROWSER=1 $(BIN)/python -m pytest tests/render/html/test_accessibility.py

# Checks before a release that take too long for every change; under an hour.
check-release: lint test test-random test-lowest wheel docs axe
	$(BIN)/pyright tests/support/user_script.py
	$(BIN)/python benchmarks/files_opened.py
	$(BIN)/python tests/support/interrupts.py --count 5000
	$(BIN)/python tests/support/corpus_kills.py 50
	$(BIN)/python tests/support/corpus_memory.py 100000
	$(MAKE) .venv-lowest/.complete
	$(LOWEST)/python -m pytest $(PARALLEL)

clean:
	rm -rf .venv .venv-lowest build dist demo-output
