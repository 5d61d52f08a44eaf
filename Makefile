# No logic here: each target calls what can be called without make. `make help` lists them.
PYTHON ?= python3
RUN = .venv/bin/python -m

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

.venv:  ## set up .venv with the locked packages (every other target does it by itself)
	@$(PYTHON) tests/bootstrap.py

VENDOR ?= ontap
demo: .venv  ## populate one disk in the lab, on an array of VENDOR=ontap, and show what was proven
	@$(RUN) tests.lab demo --array=$(VENDOR)

lab: .venv  ## start the lab and stay up, VENDOR as above; prints the environment to point programs at it
	@$(RUN) tests.lab serve --array=$(VENDOR)

check: .venv  ## the quick loop: format, lint, types, directions of imports, unit tests
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	.venv/bin/lint-imports
	$(RUN) pytest -q -n 2 tests/unit

test: check  ## every check and test, against the real vcsim, kube-apiserver and etcd
	tests/packages.sh
	$(RUN) tests.lab.tools
	$(RUN) tests.judges
	$(RUN) pytest -n 6 --dist worksteal --ignore=tests/unit --ignore=tests/image

judges: .venv  ## let clients that others wrote judge the simulators of storage arrays
	@$(RUN) tests.judges
	$(RUN) pytest -n 2 tests/judges

SCHEDULES ?= 10000
SEED ?= 0
test-lease: .venv  ## play the host lease in virtual time: SCHEDULES=10000 random schedules from SEED=0 on
	LEASE_SCHEDULES=$(SCHEDULES) LEASE_SEED=$(SEED) $(RUN) pytest -q -n 2 tests/property/test_lease_simulation.py

bench: .venv  ## the figures of the README, as a table and as JSON
	@$(RUN) tests.bench

fuzz: .venv  ## 5,000 names by every way into the wrapper: verbatim or refused, never executed
	FUZZ=5000 $(RUN) pytest -n 3 tests/property/test_*_names.py

VENDORS ?=
sweep: .venv  ## fail every remote call of a run in every way, and print what came of it; VENDORS=… takes those alone
	@$(RUN) tests.faults $(VENDORS)

dashboard: .venv  ## write Grafana's dashboard from its code, and draw what it shows of runs in the lab: dashboard.png
	@tests/packages.sh
	@$(RUN) tests.monitoring

image: .venv  ## build the image on a stand-in base: dist/image.tar (OCI), its SBOM, size and start time (Debian, root)
	@tests/packages.sh image
	@$(PYTHON) deploy/image/build.py dist/image.tar
	@$(RUN) tests.image dist/image.tar

image-twice: .venv  ## build the image twice without any cache, and compare the digests
	@tests/packages.sh image
	@$(PYTHON) deploy/image/build.py dist/image.tar --twice

test-image: .venv  ## build the image, and run it under runc as a restricted pod would, against the lab
	tests/packages.sh
	tests/packages.sh image
	$(RUN) tests.lab.tools vcsim
	$(RUN) pytest -q tests/image

release: .venv  ## build a release from the commit into dist, and tag it; nothing is pushed: deploy/docs/releasing.md
	@.venv/bin/python deploy/release

lock: .venv  ## lock the newest versions that pyproject.toml allows
	.venv/bin/uv pip compile pyproject.toml --upgrade --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --output-file tests/requirements.txt
	.venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --constraint tests/requirements.txt --generate-hashes --no-header --no-annotate --quiet --output-file deploy/requirements.txt
	.venv/bin/uv pip compile tests/monitoring/drawing/requirements.in --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --output-file tests/monitoring/drawing/requirements.txt
	.venv/bin/uv pip compile deploy/image/build-requirements.in --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --output-file deploy/image/build-requirements.txt

.PHONY: help .venv demo lab check test judges test-lease bench fuzz sweep dashboard image image-twice test-image release lock
