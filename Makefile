# Every target sets up .venv by itself; the second time that takes no time.
.PHONY: demo test pytest heavy unit lint explore bench gpu browser clean dist sbom docs help setup

RUN := .venv/bin

help:
	@echo "make demo    tagged images -> masks -> trained network -> report, 4 to 5 minutes"
	@echo "make test    lint, types and all tests, as CI runs them; needs chromium"
	@echo "make heavy   the tests that need Ray, MLflow and S3's packages, which it installs; a part of CI"
	@echo "make browser installs Debian's chromium for the tests of the review page, as root"
	@echo "make unit    the quick tests only"
	@echo "make lint    ruff and mypy"
	@echo "make explore the property tests on ten times new examples; for developers, not for CI"
	@echo "make bench   speed and memory against literal baselines"
	@echo "make gpu     the same tensor code on a CUDA device, compared with the CPU"
	@echo "make dist    sdist and wheel, in dist/"
	@echo "make sbom    what is installed here below weakseg, with licences, in dist/"
	@echo "make docs    the documentation as a site, in site/; a warning or a broken link is an error"
	@echo "make clean   remove .venv, caches, dist, site and runs/demo"

setup:
	@tools/make_venv.sh

demo: setup
	$(RUN)/weakseg demo

lint: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

# Two processes with one thread each: most tests are too small for more threads. Each begins with a half of the tests
# and takes over what the other has left, so that most fixtures of a module are made once. Bytecode is kept even where
# the environment forbids it: without, each process spends ten seconds on compiling the tests.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN)/pytest -n 2 --dist worksteal -p no:anyio

unit: setup
	$(PYTEST) -m "not slow"

# mypy, which takes one core, looks at the package beside the tests; a complaint stands above what they say.
test: setup
	@$(MAKE) --no-print-directory -j 2 lint pytest

pytest: setup
	$(PYTEST)

# What `make test` skips for want of packages.
heavy: setup
	@tools/make_venv.sh heavy
	$(PYTEST) -n 0 tests/pipeline/test_ray_cluster.py tests/pipeline/test_tracking.py tests/test_storage_end_to_end.py

browser:
	@tools/install_chromium.sh

explore: setup
	@for turn in 1 2 3 4 5 6 7 8 9 10; do $(PYTEST) -q -m hypothesis --hypothesis-profile explore || exit 1; done

bench: setup
	@for file in benchmarks/*.py; do echo "== $$file"; $(RUN)/python $$file || exit 1; done

gpu: setup
	$(RUN)/python -m tests.device.on_gpu

# Without isolation: the build's one need, hatchling, is in .venv, so that nothing is fetched.
dist: setup
	rm -rf dist
	$(RUN)/python -m hatchling build --directory dist

docs: setup
	$(RUN)/python tools/make_site.py

sbom: setup
	$(RUN)/python tools/make_sbom.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist site runs/demo
