# These do all the set-up: `make demo` runs the main job, `make test` passes the tests, `make docs` builds the site. They share one .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_MARKS := $(if $(CI),not gpu,not slow and not gpu and not browser)
PYTEST_ARGS ?= -n auto --dist loadfile --no-loadscope-reorder $(if $(CI),--durations=20)

.PHONY: demo test lint format docs attack benchmark clean

demo: $(VENV)/.installed
	$(BIN)/transfigure demo --out transfigure-demo

# what is compiled is kept: the tests start some hundred Pythons
test: $(VENV)/.installed-dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "$(PYTEST_MARKS)" $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# harmless mutations of every kind of file and kills at random moments, on all cores: about an hour of two (docs/reliability.md)
attack: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python -m tests.attack --count $(or $(N),10000) --kills $(or $(KILLS),200) --json attack.json

# the site in site/, without the network; a warning is an error
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

benchmark: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/against_reference.py
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/startup.py

# torch first, by its exact version: a looser request may bring gigabytes of CUDA packages to a machine without a GPU
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[science,slides,export,openvino,hub,serve,scale,docs,dev]'
	touch $@

clean:
	rm -rf $(VENV) transfigure-demo site .mypy_cache .ruff_cache .pytest_cache .hypothesis
