# Everything a developer does has one command here, and continuous integration calls the same ones.
# Python 3.11 or later and make are all that is needed: each command sets up what it uses, once.

PYTHON ?= python3
# The interpreters that `make constraints` resolves for: all that are supported.
PYTHONS ?= python3.11 python3.12 python3.13
# Passed on to pytest: make test ARGS='-k sheet -x'
ARGS ?=

UI_PORT ?= 4200
LABEL_STUDIO_PORT ?= 8090
LABEL_STUDIO_VERSION := 1.23.2
# The oldest release that is supported.
OLD_LABEL_STUDIO_VERSION := 1.13.1

VENV := .venv
BIN := $(VENV)/bin
DOCS_VENV := .venv-docs
STUDIO := .label-studio
STUDIO_BIN := $(STUDIO)/venv/bin
OLD_STUDIO := $(STUDIO)/$(OLD_LABEL_STUDIO_VERSION)
OLD_STUDIO_BIN := $(OLD_STUDIO)/venv/bin
RESOLVE = $(PYTHON) scripts/constraints.py $(PYTHONS:%=--python %)
# Each core takes one file of tests after the other, so that a file starts once what its tests share. In the order of their names,
# since the files with the fewest tests are the longest.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input

CODE := $(foreach folder,label_studio_stencil label_studio_sandbox flows tasks deployments scripts tests bench,$(if $(wildcard $(folder)/*.py $(folder)/*/*.py),$(folder)))

# The demo and the UI share a Prefect home of their own, so that neither touches the user's runs and profiles, and the UI
# shows what the demo did. The recorder takes task runs in batches: one at a time, it loses some of a busy server's. The demo's server
# has time to start: the first start of all migrates its database, longer than Prefect's 20 seconds on a busy machine.
PREFECT := PREFECT_HOME='$(CURDIR)/.stencil/prefect' \
	PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE=100 \
	PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE=100 \
	PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL=1 \
	PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=300

# Prefect's server reports its use to its makers unless told not to.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-23s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(VENV)/.runtime ## Run the flow on examples/projects.csv, on the sandbox and a Prefect server for the time of the run
	@mkdir -p .stencil
	@$(PREFECT) $(BIN)/python flows/create_projects.py

.PHONY: test
test: $(VENV)/.dev ## Run the tests (four minutes); they need no network beyond loopback
	@$(PYTEST) -m 'not slow and not real and not soak and not ui' $(ARGS)

.PHONY: test-all
test-all: $(VENV)/.dev ## Run the others that need only this machine: workers, kills, very many cases (fifteen minutes)
	@STENCIL_SCENES=1000 $(PYTEST) -m '(slow or scenes) and not soak' $(ARGS)

.PHONY: test-real
test-real: $(VENV)/.dev $(STUDIO)/venv/.installed postgresql nginx chromium ## Run the tests that need a real Label Studio server, on two of their own
	@STENCIL_LABEL_STUDIO=$(STUDIO_BIN)/label-studio $(BIN)/python -m pytest -m 'real and not soak' $(ARGS)

.PHONY: test-real-old
test-real-old: $(VENV)/.dev $(OLD_STUDIO)/venv/.installed ## Run a few of them on the oldest release of Label Studio that is supported
	@STENCIL_LABEL_STUDIO=$(OLD_STUDIO_BIN)/label-studio $(BIN)/python -m pytest -m real tests/real/test_any_release.py $(ARGS)

.PHONY: test-ui
test-ui: $(VENV)/.dev chromium ## Run the tests of the Prefect UI in Chromium (STENCIL_SCREENSHOTS=DIR takes pictures)
	@$(BIN)/python -m pytest -m ui $(ARGS)

.PHONY: screenshots
screenshots: ## Take the pictures of docs/images again (five minutes)
	@$(MAKE) --no-print-directory test-ui STENCIL_SCREENSHOTS=docs/images
	@echo 'The pictures are in docs/images. Commit those that show something new: git status docs/images'

.PHONY: soak
soak: $(VENV)/.dev $(STUDIO)/venv/.installed postgresql nginx ## Run the long tests: faults, kills, outages, ten batches on a real server
	@STENCIL_SCENES=10000 $(BIN)/python -m pytest --numprocesses logical -m scenes $(ARGS)
	@STENCIL_LABEL_STUDIO=$(STUDIO_BIN)/label-studio $(BIN)/python -m pytest -m soak $(ARGS)

.PHONY: bench
bench: $(VENV)/.dev ## Measure Stencil beside a bare loop, the SDK and a mapped flow (ten minutes)
	@$(BIN)/python -m bench.compare $(ARGS)

.PHONY: bench-real
bench-real: $(VENV)/.dev $(STUDIO)/venv/.installed postgresql nginx ## Measure Stencil beside plain loops on the real Label Studio, on PostgreSQL and on SQLite (a quarter of an hour)
	@$(BIN)/python -m bench.real --executable $(STUDIO_BIN)/label-studio $(ARGS)

.PHONY: sizing
sizing: $(VENV)/.bench postgresql ## Count what batches of 100 to 10,000 rows cost, and draw docs/images/sizing.svg (ten minutes)
	@$(BIN)/python -m bench.sizing $(ARGS)

.PHONY: budget
budget: $(VENV)/.dev ## Count what batches of 100 to 5,000 rows ask of Prefect's API (six minutes)
	@$(BIN)/python -m bench.budget $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## Lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(CODE)

.PHONY: ui
ui: $(VENV)/.runtime ## Start a Prefect server with its UI, in the foreground
	@mkdir -p .stencil
	@echo 'Prefect UI: http://127.0.0.1:$(UI_PORT) (Ctrl-C stops it). In another terminal:'
	@echo '  export PREFECT_API_URL=http://127.0.0.1:$(UI_PORT)/api'
	@exec env -u PREFECT_API_URL PREFECT_SERVER_UI_API_URL=http://127.0.0.1:$(UI_PORT)/api $(PREFECT) \
		$(BIN)/prefect server start --host 127.0.0.1 --port $(UI_PORT)

.PHONY: label-studio
label-studio: $(STUDIO)/venv/.installed ## Start a real Label Studio Community server, in the foreground
	@exec $(STUDIO_BIN)/python -m scripts.label_studio --executable $(STUDIO_BIN)/label-studio \
		--data $(STUDIO)/data --port $(LABEL_STUDIO_PORT)

.PHONY: label-studio-production
label-studio-production: $(STUDIO)/venv/.installed postgresql nginx ## Start one on PostgreSQL, with four workers behind nginx; its data are gone in the end
	@exec $(STUDIO_BIN)/python -m scripts.label_studio_production --executable $(STUDIO_BIN)/label-studio \
		--data $(STUDIO)/production --port $(LABEL_STUDIO_PORT)

.PHONY: reference
reference: $(VENV)/.dev ## Write the pages of docs/reference again, from the code
	@$(BIN)/python -m scripts.reference

.PHONY: docs
docs: $(DOCS_VENV)/.installed ## Build the documentation as a site in .stencil/site; broken links are errors
	@rm -rf .stencil/site-source .stencil/site && mkdir -p .stencil/site-source
	@tar -cf - *.md LICENSE docs examples deployments/*.yaml | tar -xf - -C .stencil/site-source
	@$(DOCS_VENV)/bin/zensical build --clean --strict

.PHONY: constraints
constraints: ## Pin again what all supported Pythons resolve to today (PYTHONS='...')
	@mkdir -p .stencil
	@$(RESOLVE) '.[dev,bench]' > .stencil/constraints && mv .stencil/constraints constraints.txt
	@$(RESOLVE) 'label-studio==$(LABEL_STUDIO_VERSION)' gunicorn > .stencil/constraints && \
		mv .stencil/constraints constraints-label-studio.txt
	@$(PYTHON) scripts/constraints.py --python $(PYTHON) 'label-studio==$(OLD_LABEL_STUDIO_VERSION)' setuptools > .stencil/constraints && \
		mv .stencil/constraints constraints-label-studio-old.txt
	@$(RESOLVE) zensical > .stencil/constraints && mv .stencil/constraints constraints-docs.txt

.PHONY: clean
clean: ## Remove what these commands made, Label Studio's environment and its data included
	rm -rf $(VENV) .venv-* $(STUDIO) .stencil results dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up. A stamp for each set of packages: the demo does not wait for what only tests need.

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing Stencil into $(VENV) (a minute or two the first time) ...'
	@$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing Stencil and its development tools into $(VENV) (two minutes the first time) ...'
	@$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $(VENV)/.runtime $@

$(VENV)/.bench: $(VENV)/.dev
	@echo 'Installing what draws into $(VENV) (half a minute the first time) ...'
	@$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[bench]'
	@touch $@

# Debian's packages, for root: not files, since they may come and go. The tests look for the same programs.
# $(call debian,PACKAGE,IS_THERE,WHO_NEEDS_IT,OR_ELSE)
debian = $(2) || if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		echo 'Installing $(1) with apt-get (a minute) ...'; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $(1) > /dev/null; \
	else \
		echo '$(3): install the package $(1) (as root: apt-get install $(1)), or put $(4) on PATH.' >&2; exit 1; \
	fi

.PHONY: postgresql
postgresql:
	@$(call debian,postgresql,ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || command -v initdb > /dev/null,A Prefect server or \
		Label Studio on PostgreSQL needs its programs,initdb and postgres)

.PHONY: nginx
nginx:
	@$(call debian,nginx-light,PATH="$$PATH:/usr/sbin" command -v nginx > /dev/null,Label Studio behind nginx needs it,nginx)

.PHONY: chromium
chromium:
	@$(call debian,chromium,command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome \
		> /dev/null,The tests of the UI need Chromium or Chrome,chromium or google-chrome)

# A template of another release's data would be migrated at every start.
$(STUDIO)/venv/.installed: constraints-label-studio.txt | $(STUDIO_BIN)/pip
	@echo 'Installing Label Studio $(LABEL_STUDIO_VERSION) into $(STUDIO)/venv (two minutes, 800 MB) ...'
	@rm -rf $(STUDIO)/template
	@$(STUDIO_BIN)/python $(PIP_INSTALL) --constraint constraints-label-studio.txt label-studio gunicorn
	@touch $@

$(OLD_STUDIO)/venv/.installed: constraints-label-studio-old.txt | $(OLD_STUDIO_BIN)/pip
	@echo 'Installing Label Studio $(OLD_LABEL_STUDIO_VERSION) into $(OLD_STUDIO)/venv (three minutes, 600 MB) ...'
	@rm -rf $(OLD_STUDIO)/template
	@$(OLD_STUDIO_BIN)/python $(PIP_INSTALL) --constraint constraints-label-studio-old.txt label-studio setuptools
	@touch $@

$(DOCS_VENV)/.installed: constraints-docs.txt | $(DOCS_VENV)/bin/pip
	@echo 'Installing Zensical into $(DOCS_VENV) (half a minute the first time) ...'
	@$(DOCS_VENV)/bin/python $(PIP_INSTALL) --constraint constraints-docs.txt zensical
	@touch $@

$(BIN)/pip $(STUDIO_BIN)/pip $(OLD_STUDIO_BIN)/pip $(DOCS_VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Stencil needs Python 3.11 or later, and $(PYTHON) is `$(PYTHON) -V 2>&1`: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(patsubst %/bin/pip,%,$@)
