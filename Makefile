# Verbs of this project. Every target installs what it needs first; a second call re-installs nothing.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.fedm2g-installed
NEAR_ARMS := public-longer,alone-hospital-xray,alone-hospital-ct,alone-hospital-mri,alone-hospital-university,federated-8
ROOMS := fedm2g.py medm2g privacy protocol client server simulations

.PHONY: setup lint format test demo check faults twin deployment bench results tasks corpus stubs constraints clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "Python 3.11 is needed: set PYTHON=/path/to/python3.11."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

lint: $(STAMP)
	@$(BIN)/ruff check . || { echo "Mend with: make format"; exit 1; }
	@$(BIN)/ruff format --check --quiet . || { echo "Mend with: make format"; exit 1; }
	@$(BIN)/mypy $(ROOMS) || { echo "Add or mend the types named above."; exit 1; }
	@$(BIN)/lint-imports --no-cache || { echo "A room imports what DESIGN.md section 2 forbids: see the chain above."; exit 1; }

format: $(STAMP)
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format --quiet .

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: test

demo: $(STAMP)
	$(BIN)/fedm2g simulate studies/demo.toml --out runs/demo

faults: $(STAMP)
	$(BIN)/python -m pytest -m faults

twin: $(STAMP)
	$(BIN)/python -m pytest -m twin

deployment: $(STAMP)
	$(BIN)/python -m pytest -m deployment

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(NAMES)

results: $(STAMP)
	$(BIN)/fedm2g simulate studies/demo.toml --compare --out runs/compared
	cp runs/compared/comparison.md docs/results.md
	cp runs/compared/comparison.png docs/comparison.png
	$(BIN)/fedm2g simulate studies/near.toml --compare --arms $(NEAR_ARMS) --out runs/compared-near
	sed 's/(comparison.png)/(comparison-near.png)/' runs/compared-near/comparison.md > docs/results-near.md
	cp runs/compared-near/comparison.png docs/comparison-near.png

# What the demo's generator can do, on patients of the university hospital that no site of it holds; specialists learn
# from a thousand others of the same hospital.
tasks: $(STAMP)
	rm -rf runs/tasks runs/specialists
	$(BIN)/fedm2g phantoms --out runs/tasks --patients 600 --seed 90001 --population hospital-university
	$(BIN)/fedm2g phantoms --out runs/specialists --patients 1000 --seed 90002 --population hospital-university
	$(BIN)/fedm2g evaluate runs/demo/generator --data runs/tasks --specialists runs/specialists --pathways --page docs/tasks.md

# What a federation without privacy reaches on the real images beside the repository; contact sheets of what it makes.
corpus: $(STAMP)
	$(BIN)/python -m simulations.real_corpus ../shared/corpus

stubs: $(STAMP)
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. protocol/vault.proto protocol/generate.proto

constraints:
	@{ head -1 constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
