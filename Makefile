# Needs nothing but Python 3.11 or later and make: uv comes from the package index into .uv, everything else from uv.lock.
UV := .uv/bin/uv
SYNC := $(UV) sync --locked --quiet --inexact
BIN := .venv/bin
PYTHON ?= python3
# Containers often set this. Every process, and the tests start many, would compile torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check test test-all test-lowest test-wheel test-extras fuzz lint types bench docs clean

demo: .venv/exuno  ## a network that never saw a digit reads digits
	$(BIN)/exuno distill digits --run-dir runs/demo $(ARGS)

check: lint types  ## before a commit: style, types, and the tests of structure, help and documented commands
	$(BIN)/pytest -q -n 2 tests/test_structure.py tests/test_presets.py tests/test_registry.py tests/e2e/test_help.py \
	  tests/e2e/test_readme.py

test: .venv/ready  ## the fast tests; hypothesis tries the same examples each time
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not slow" --hypothesis-profile ci $(ARGS)

test-all: .venv/ready  ## every test, the long ones too; hypothesis tries new examples
	$(BIN)/pytest -q -n 2 --dist worksteal $(ARGS)

test-lowest: | $(UV)  ## the fast tests with the lowest versions that pyproject.toml allows, in an environment of their own
	$(UV) venv --quiet --allow-existing .venv-lowest
	VIRTUAL_ENV=.venv-lowest $(UV) pip install --quiet --resolution lowest-direct --editable . --group dev
	.venv-lowest/bin/pytest -q -n 2 --dist worksteal -m "not slow" $(ARGS)

test-wheel: | $(UV)  ## sdist and wheel as a release would have them, used in an empty environment
	$(PYTHON) -m tests.release wheel

test-extras: | $(UV)  ## every extra resolves for every Python, on Linux, macOS and Windows
	$(PYTHON) -m tests.release extras

fuzz: .venv/ready  ## damaged files for every reader, and commands that are killed at every write; an hour
	$(BIN)/python -m tests.fuzz --count $${COUNT:-100000}
	$(BIN)/python -m tests.faults

lint: .venv/ready  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready  ## types
	$(BIN)/pyright

bench: .venv/ready  ## every benchmark; writes benchmarks/RESULTS.md
	$(SYNC) --group heavy --group bench
	for script in benchmarks/synth.py benchmarks/distill.py benchmarks/poster.py benchmarks/smkd_loss.py \
	  benchmarks/episodes.py benchmarks/input.py benchmarks/video.py benchmarks/audio.py benchmarks/explain.py \
	  benchmarks/startup.py benchmarks/predict.py; do $(BIN)/python $$script || exit 1; done

docs: .venv-docs/ready  ## the site, into dist/site; every link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet
	.venv-docs/bin/python docs/hooks/offline.py dist/site

clean:  ## everything that can be made again; runs stay
	rm -rf .venv .venv-lowest .venv-docs .uv .pytest_cache .ruff_cache .hypothesis dist

$(UV):
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv

# What exuno needs and no more; --inexact leaves alone what .venv/ready has added.
.venv/exuno: uv.lock pyproject.toml | $(UV)
	$(SYNC) --no-default-groups
	touch $@

# Also what the tests need.
.venv/ready: uv.lock pyproject.toml | $(UV)
	$(SYNC) --group heavy
	touch $@

# Only what the site needs, without torch: mkdocstrings reads the sources, it does not import them.
.venv-docs/ready: uv.lock pyproject.toml | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv-docs $(UV) sync --locked --quiet --only-group docs
	touch $@
