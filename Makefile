# CoralBay: `make` lists the targets. Each of them first does the set-up that it needs.

VENV := .venv
PYTHON_VENV := $(VENV)/bin/python
STAMP := $(VENV)/.coralbay-installed
# eva pins packages that CoralBay leaves free, so it gets an environment of its own.
VENV_EVA := .venv-eva
STAMP_EVA := $(VENV_EVA)/.coralbay-installed
# The oldest versions that pyproject.toml allows.
VENV_OLDEST := .venv-oldest
STAMP_OLDEST := $(VENV_OLDEST)/.coralbay-installed
DEMO_OUT := demo-output
# Options for pytest, e.g. make test ARGS="-k geometry -x"
ARGS :=
# A scan for the demo: a NIfTI file or a DICOM folder. Without one it makes a phantom.
CT :=
# Another patient, for pictures.
SECOND :=

VIRTUAL_DISPLAY := xvfb-run --auto-servernum --server-args="-screen 0 1400x900x24"
export QT_API := pyside6

.DEFAULT_GOAL := help
.PHONY: help setup setup-eva libraries virtual-display browser notebooks screenshots animation docs demo test test-fast test-slow test-pyqt6 test-oldest test-eva fuzz torture lint spelling evaluate evaluate-reference wheel-smoke \
  bench-encoder bench-dense bench-whole-scan bench-interactive bench-gui bench-first bench-notebook bench-probe bench-connectivity bench-projection bench-search bench-alignment bench-pretrain bench-objectives bench-scale clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv and install everything into it

$(STAMP): pyproject.toml constraints.txt scripts/bootstrap.sh
	@sh scripts/bootstrap.sh packages $(VENV)
	@touch $@

libraries: $(STAMP)
	@sh scripts/bootstrap.sh libraries $(VENV)

virtual-display: $(STAMP)
	@sh scripts/bootstrap.sh libraries $(VENV) --virtual-display

browser:
	@sh scripts/bootstrap.sh browser

# A recipe and not a prerequisite chooses the display, so that nothing is installed for the one that is not used.
demo: $(STAMP) ## The tour: in napari, or into demo-output/ without a display (CT=path takes a scan)
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname -s)" = Darwin ]; then \
	  $(MAKE) --no-print-directory libraries && \
	  $(VENV)/bin/coralbay demo $(if $(CT),"$(CT)"); \
	else \
	  $(MAKE) --no-print-directory virtual-display && \
	  $(VIRTUAL_DISPLAY) $(VENV)/bin/coralbay demo --headless $(DEMO_OUT) $(if $(CT),"$(CT)"); \
	fi

test: virtual-display ## Run the tests (ARGS="-k word" for some of them)
	$(PYTHON_VENV) -m pytest -m "not slow" --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS)

test-fast: $(STAMP) ## Run the tests without windows and encoders, under a minute
	$(PYTHON_VENV) -m pytest -m "not slow and not gui and not forward" --ignore=tests/napari --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS)

test-slow: virtual-display browser ## Run the slow tests, those in a browser included
	$(PYTHON_VENV) -m pytest -m slow --numprocesses logical --maxprocesses 2 --dist loadfile $(ARGS)

# Another Qt binding beside the environment, which has PySide6.
STAMP_PYQT6 := $(VENV)/pyqt6/.coralbay-installed
PYQT6_TESTS := tests/napari

$(STAMP_PYQT6): pyproject.toml constraints.txt | virtual-display
	@$(PYTHON_VENV) -m pip install --quiet --upgrade --target $(@D) --constraint constraints.txt PyQt6
	@touch $@

test-pyqt6: $(STAMP_PYQT6) ## Run the tests of the window with PyQt6 (PYQT6_TESTS=tests/napari/test_colors.py for some of them)
	PYTHONPATH=$(abspath $(VENV)/pyqt6) QT_API=pyqt6 $(PYTHON_VENV) -m pytest -o qt_api=pyqt6 -m "not slow" --numprocesses logical --maxprocesses 4 --dist worksteal $(PYQT6_TESTS) $(ARGS)

$(STAMP_OLDEST): pyproject.toml constraints-oldest.txt scripts/bootstrap.sh
	@sh scripts/bootstrap.sh oldest $(VENV_OLDEST)
	@touch $@

test-oldest: $(STAMP_OLDEST) ## Run the fast and the golden tests with the oldest versions that pyproject.toml allows
	$(VENV_OLDEST)/bin/python -m pytest -W ignore::DeprecationWarning -m "not slow and not gui and not forward" --ignore=tests/napari --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS)
	$(VENV_OLDEST)/bin/python -m pytest -W ignore::DeprecationWarning tests/core/test_golden.py $(ARGS)

MINUTES := 10
# "atheris" follows the code that reads instead of drawing at random: pip install atheris.
ENGINE := files
fuzz: $(STAMP) ## Damage scans, then all other files that are read, for MINUTES=10 each (ENGINE=atheris follows the code)
	CORALBAY_FUZZ_S=$$(( $(MINUTES) * 60 )) $(PYTHON_VENV) -m pytest -m slow tests/core/io/test_fuzz_readers.py $(ARGS)
	$(PYTHON_VENV) -m benchmarks.fuzz_$(ENGINE) --seconds $$(( $(MINUTES) * 60 ))

torture: $(STAMP) ## Long sessions, a volume of 3 GB and kills at random moments, half an hour or more (ARGS="--scans 20 --kills 5 --no-volume")
	$(PYTHON_VENV) -m benchmarks.torture $(ARGS)

$(STAMP_EVA): pyproject.toml constraints.txt scripts/bootstrap.sh
	@sh scripts/bootstrap.sh eva $(VENV_EVA)
	@touch $@

setup-eva: $(STAMP_EVA)

test-eva: $(STAMP_EVA) ## Run the tests with kaiko's eva, in an environment of their own (some GB, once)
	$(VENV_EVA)/bin/python -m pytest -c tests/with_eva/pytest.ini tests/with_eva $(ARGS)

SCANS = $(if $(CT),--ct "$(CT)") $(if $(SECOND),--second "$(SECOND)")
screenshots: virtual-display ## Renew the pictures of docs/how-to/napari.md (CT=path SECOND=path take scans of two patients)
	$(VIRTUAL_DISPLAY) $(PYTHON_VENV) -W ignore -m scripts.screenshots docs/images/napari $(SCANS)

animation: virtual-display ## Renew the animation at the top of README.md (CT=path SECOND=path take scans of two patients)
	$(VIRTUAL_DISPLAY) $(PYTHON_VENV) -W ignore -m scripts.animation docs/images/animation.webp $(SCANS)

notebooks: $(STAMP) browser ## Run the notebooks and renew docs/notebooks/ and the pictures of the app, minutes
	$(PYTHON_VENV) scripts/render_notebooks.py
	$(PYTHON_VENV) scripts/notebook_pictures.py

# The banner of the theme is about the future of MkDocs, see docs/decisions.md.
docs: $(STAMP) ## Build the documentation as a site into build/site/, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(PYTHON_VENV) -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

lint: $(STAMP) ## Style, types, import directions and spelling
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell $$(git ls-files)

spelling: $(STAMP) ## Spelling alone
	$(VENV)/bin/codespell $$(git ls-files)

# Labeled scans to measure on, and where the report goes.
DATA := ../shared/ct/labelled
EVALUATION_OUT := evaluation

evaluate: $(STAMP) ## Measure the shipped weights beside baselines; renews docs/measurements/evaluation.md and the model card
	$(VENV)/bin/coralbay evaluate --data "$(DATA)" --names -o $(EVALUATION_OUT)
	$(PYTHON_VENV) scripts/publish_evaluation.py $(EVALUATION_OUT)

evaluate-reference: $(STAMP) ## Renew what `make test` expects of the shipped weights, after they were replaced
	$(PYTHON_VENV) -m coralbay_core.evaluate.gate tests/phantom_reference.json

wheel-smoke: $(STAMP) ## Build the wheel and use it where the sources are not
	@sh scripts/wheel_smoke.sh $(PYTHON_VENV)

bench-encoder: $(STAMP) ## Speed of the backbone against MONAI's, minutes (ARGS="--threads 1")
	$(PYTHON_VENV) benchmarks/encoder.py $(ARGS)

bench-dense: $(STAMP) ## Dense features against MONAI's sliding window, seams, air (ARGS="speed --ct CT")
	$(PYTHON_VENV) benchmarks/dense.py $(ARGS)

bench-whole-scan: $(STAMP) ## Size of encoders and the seconds of each for a whole scan (ARGS="--ct CT --models coralbay-mini,astra")
	$(PYTHON_VENV) benchmarks/whole_scan.py $(ARGS)

bench-interactive: $(STAMP) ## What a user waits for, on features of a whole CT
	$(PYTHON_VENV) benchmarks/interactive.py $(ARGS)

bench-notebook: $(STAMP) browser ## From a click in JupyterLab to the new heat map (ARGS="--clicks 40", ARGS=--niivue)
	$(PYTHON_VENV) benchmarks/notebook.py $(ARGS)

PART := kinds refine suggest speed
bench-gui: virtual-display ## What a user of the window waits for, minutes (ARGS="--ct scan.nii.gz")
	$(VIRTUAL_DISPLAY) $(PYTHON_VENV) -W ignore benchmarks/gui.py $(ARGS)

bench-first: virtual-display ## From opening a series of 600 slices to its first heat map and all features, minutes (ARGS="--ct CT")
	$(VIRTUAL_DISPLAY) $(PYTHON_VENV) -W ignore -m benchmarks.first_answer $(ARGS)

bench-probe: $(STAMP) ## How good and how fast probes are, half an hour (PART=speed for one table: kinds, refine, suggest, speed)
	for part in $(PART); do $(PYTHON_VENV) benchmarks/probe.py $$part --data "$(DATA)" $(ARGS) || exit 1; done

bench-connectivity: $(STAMP) ## Connections between cells: edges, pull of strokes, a region grower, times (ARGS="--cases 2")
	$(PYTHON_VENV) benchmarks/connectivity.py --data "$(DATA)" $(ARGS)

bench-projection: $(STAMP) ## UMAP's shortcuts against its own transform (ARGS="--ct CT")
	$(PYTHON_VENV) benchmarks/projection.py $(ARGS)

bench-search: $(STAMP) ## Ways to ask, matching across scans, engines of libraries; tens of minutes
	$(PYTHON_VENV) benchmarks/similarity.py --data "$(DATA)"
	$(PYTHON_VENV) benchmarks/across.py --data "$(DATA)"
	$(PYTHON_VENV) benchmarks/library.py --data "$(DATA)" --engine exact --engine Lance --engine FAISS

bench-alignment: $(STAMP) ## Deformable alignment of patients beside affine and B-spline, its confidence, minutes (ARGS="--phantoms 2")
	$(PYTHON_VENV) benchmarks/alignment.py --data "$(DATA)" --bspline $(ARGS)
	$(PYTHON_VENV) benchmarks/confidence.py --data "$(DATA)" $(ARGS)

bench-scale: $(STAMP) ## A thousand scans on Dask and in a library, a million chunks in the cache, tens of minutes (ARGS="--part dask --scans 100")
	$(PYTHON_VENV) -m benchmarks.scale $(ARGS)

bench-pretrain: $(STAMP) ## Steps of pretraining, part by part, a minute (ARGS="mini --data STORE", "base --plan batch_size=1 accumulate=1")
	$(PYTHON_VENV) benchmarks/pretrain.py $(ARGS)

bench-objectives: $(STAMP) ## Objectives of pretraining compared, two seeds, hours (ARGS="--store STORE --out RUNS")
	$(PYTHON_VENV) -m benchmarks.objectives --data "$(DATA)" $(ARGS)

clean: ## Remove what the other targets made, the environment included
	rm -rf $(VENV) $(VENV_OLDEST) $(VENV_EVA) $(DEMO_OUT) $(EVALUATION_OUT) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
