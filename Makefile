# Nine commands: demo, test, docs, processors, check, bench, chaos, calibrate, clean. Each makes what it needs.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo

.PHONY: demo test docs processors check bench chaos calibrate clean

$(BIN)/installed: pyproject.toml constraints.txt peers.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r peers.txt
	touch $@

# Train a small MLP on digits, analyse its checkpoints through a local Ray, print the table, draw the picture, write the
# report.
demo: $(BIN)/installed
	$(BIN)/python jobs/train.py $(DEMO)/run --widths 64,32,32,10
	$(BIN)/scalecurv analyze $(DEMO)/run $(DEMO)/store --rtol 0.05 --engine ray
	$(BIN)/scalecurv show $(DEMO)/store
	$(BIN)/scalecurv plot $(DEMO)/store $(DEMO)/curvature.png
	$(BIN)/scalecurv report $(DEMO)/store $(DEMO)/report.html
	@echo "picture: $(DEMO)/curvature.png"
	@echo "report:  $(DEMO)/report.html: open it in a browser, by file://$(CURDIR)/$(DEMO)/report.html; it needs no network"
	@echo "query:   $(BIN)/scalecurv query $(DEMO)/store \"select step, trace, trace_stderr from results order by step\""

# Three processes on two cores: one of them has all tests with Ray, and mostly waits. Then the tests that open pages in a
# Chromium, which would starve beside the others; where the machine has none they skip and say so.
# An environment that forbids files of bytecode would have each process compile this package and the tests again.
test: export PYTHONDONTWRITEBYTECODE =
test: $(BIN)/installed
	$(BIN)/python -m pytest -q -n 3 --dist loadgroup -m "not browser"
	$(BIN)/python -m pytest -q -m browser tests/report

# Write the pages that come from the code, draw the pictures of the gallery and the tour, and build site/ without a network.
# The suite says when a page is out of date.
docs: $(BIN)/installed
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/pictures.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "site: open site/index.html; with its search: $(BIN)/python -m http.server -d site, then http://localhost:8000"

# The suite along the code paths of other processors, a line of settings each: half an hour on two cores.
define PROCESSORS
MKL_ENABLE_INSTRUCTIONS=SSE4_2 ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OPENBLAS_CORETYPE=Nehalem
MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell
MKL_ENABLE_INSTRUCTIONS=AVX512 ATEN_CPU_CAPABILITY=avx512 OPENBLAS_CORETYPE=SkylakeX
MKL_CBWR=COMPATIBLE
OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
endef
export PROCESSORS

processors: $(BIN)/installed
	@failed=0; echo "$$PROCESSORS" | { while read -r settings; do \
		echo "== $$settings"; \
		env $$settings $(BIN)/python -m pytest -q -n 2 -m "not ray and not fault" $(TESTS) </dev/null || failed=1; \
	done; exit $$failed; }

check: $(BIN)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

# Every table of benchmarks/results but the calibration and the GPU's, then the pages that show them: an hour on two
# cores.
bench: $(BIN)/installed
	$(BIN)/python -m benchmarks.hvp
	$(BIN)/python -m benchmarks.time_to_accuracy
	$(BIN)/python -m benchmarks.warm_start
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.estimators
	$(BIN)/python -m benchmarks.beyond_mlps
	$(BIN)/python -m benchmarks.population
	$(BIN)/python -m benchmarks.trace_error
	$(BIN)/python -m benchmarks.curvature_error
	$(BIN)/python -m benchmarks.rank_exact
	$(BIN)/python -m benchmarks.rank_certified
	$(BIN)/python -m benchmarks.rank_account
	$(BIN)/python -m benchmarks.functional_dimension
	$(BIN)/python -m benchmarks.eigenpairs
	$(BIN)/python -m benchmarks.geometry
	$(BIN)/python -m benchmarks.geometry_run
	$(BIN)/python -m benchmarks.any_model
	$(BIN)/python -m benchmarks.checks
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.sweep_scaling
	$(BIN)/python -m benchmarks.callbacks
	$(BIN)/python -m benchmarks.tables

# Kills workers, drivers and nodes at random and damages files: nothing stored may be lost. Half an hour on two cores.
chaos: $(BIN)/installed
	$(BIN)/python -m chaos

# How often each interval holds the truth, over 1,000 seeds, and 400 on networks of other kinds: half an hour on two cores.
calibrate: $(BIN)/installed
	$(BIN)/python -m benchmarks.calibrate
	$(BIN)/python -m benchmarks.command_coverage

clean:
	rm -rf .venv demo site build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
