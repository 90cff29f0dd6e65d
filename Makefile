# Lesion Zoo. `make help` lists targets and settings.

# Settings of a study: make zoo DATA=~/ham10000 SCALE=small. Unset ones get the default that `make help` names.
STUDY_SETTINGS := DATA SCALE SPLIT WEIGHTS ARCH SEED GENERATOR_SEED THREADS SCC STUDY
SETTINGS = $(foreach setting,$(filter $(GIVEN),$(STUDY_SETTINGS)),$(setting)=$(call quoted,$(setting)))
# What is written behind make. A setting's value is quoted for the shell, whatever is in it.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
quoted = '$(subst ','\'',$(value $(1)))'
set = $(if $(filter $(1),$(GIVEN) PORT GATEWAY_PORT),$(value $(1)))
given = $(if $(call set,$(1)),$(call quoted,$(1)),'')
option = $(if $(call set,$(2)),--$(1) $(call quoted,$(2)))
# A variable of the environment may mean something else (KEY, NAME, TEST), so it is no setting, but for those that have
# a default below. Of a study's settings, a warning says so.
ifeq ($(MAKELEVEL),0)
$(foreach setting,$(STUDY_SETTINGS),$(if $(filter environment,$(firstword $(origin $(setting)))),\
	$(warning $(setting) in the environment is no setting: write it behind make, as in: make zoo $(setting)=...)))
endif

JOBS ?= 2
PORT ?= 8080
GATEWAY_PORT ?= 8000
PYTHON3 ?= python3

PYTHON := .venv/bin/python
STUDY_NAME = $$($(PYTHON) -m zoo study $(SETTINGS))
RUNS := runs/$(STUDY)
ARCHIVES := model_store/$(STUDY)
FREE_GB := 8

# glibc gives large blocks back to the kernel and fetches them anew, zeroed, in every training step: keeping them saves
# a fifth of the time (python -m benchmarks.kept_memory). Where there is another libc, they mean nothing.
export MALLOC_MMAP_THRESHOLD_ := 268435456
export MALLOC_TRIM_THRESHOLD_ := 17179869184

TARGETS := zoo source archives test test-slurm test-ray faults docs check format list serve stop status logs key keys revoke manifests experiment experiments stop-experiment forget experiment-report experiment-demo drift predict explain compare results promote rollback synthesize describe download lock clean help
.PHONY: $(TARGETS)
.DELETE_ON_ERROR:
.SUFFIXES:

# The settings of each target that has some. Another one, a mistyped one say, is an error.
OF_zoo := $(STUDY_SETTINGS) ENTRIES JOBS LAUNCH
OF_source := $(STUDY_SETTINGS)
OF_archives := $(STUDY_SETTINGS) LAUNCH
OF_list := $(STUDY_SETTINGS)
OF_serve := $(STUDY_SETTINGS) PORT GATEWAY_PORT HOST CORS RUNTIME MAX_REQUEST_MB TOKEN_MINUTES EVENTS KEEP_DAYS REPLICAS CPUS ARCHIVES_URL
OF_stop := $(STUDY_SETTINGS)
OF_status := $(STUDY_SETTINGS)
OF_logs := $(STUDY_SETTINGS)
OF_key := NAME SCOPES RATE
OF_revoke := NAME
OF_manifests := $(STUDY_SETTINGS) CONTAINER RAY_CONTAINER ARCHIVES CANARY SHARE REPLICAS ENTRIES EVENTS OUT
OF_check := CRDS
OF_experiment := $(STUDY_SETTINGS) NAME ARMS SHADOW METRIC DIFFERENCE GUARD
OF_experiments := $(STUDY_SETTINGS)
OF_stop-experiment := $(STUDY_SETTINGS) NAME
OF_forget := $(STUDY_SETTINGS) CLIENT KEY EVENTS
OF_experiment-report := $(STUDY_SETTINGS) NAME
OF_experiment-demo := $(STUDY_SETTINGS)
OF_drift := $(STUDY_SETTINGS) ENTRY HOURS
OF_predict := $(STUDY_SETTINGS) IMAGE ENTRY OUT
OF_explain := $(STUDY_SETTINGS) IMAGE ENTRY CLASS OUT
OF_compare := $(STUDY_SETTINGS) TEST STRICT
OF_results := $(STUDY_SETTINGS)
OF_promote := $(STUDY_SETTINGS) ENTRY EXPERIMENT FORCE
OF_rollback := $(STUDY_SETTINGS) WHY FORCE
OF_synthesize := $(STUDY_SETTINGS) CLASS COUNT GENERATOR OUT
OF_describe := DATA SCC
OF_test := HAM10000 JOBS
OF_help := $(foreach target,$(TARGETS),$(OF_$(target)))
EVERYWHERE := PYTHON3 FREE_GB

NEAREST = import difflib, sys; goals, name, *settings = sys.argv[1:]; \
	near = difflib.get_close_matches(name.upper(), settings, 1); \
	hint = f"did you mean {near[0]}? It" if near else "it"; \
	print(f"error: make {goals} has no setting {name}; {hint} has:", ", ".join(dict.fromkeys(settings)) or "none")
ifeq ($(MAKELEVEL),0)
GOALS := $(filter $(TARGETS),$(or $(MAKECMDGOALS),help))
ALLOWED := $(foreach goal,$(GOALS),$(OF_$(goal)))
WRONG := $(if $(GOALS),$(filter-out $(EVERYWHERE) $(ALLOWED),$(GIVEN)))
$(foreach name,$(WRONG),$(shell $(PYTHON3) -c $(call quoted,NEAREST) '$(GOALS)' '$(name)' $(ALLOWED) >&2))
$(if $(WRONG),$(error nothing was done))
$(if $(and $(filter ENTRIES,$(GIVEN)),$(if $(strip $(value ENTRIES)),,none)),\
	$(error ENTRIES is empty: it names entries, or is left out for all of them))
$(foreach name,$(filter FORCE STRICT,$(GIVEN)),$(if $(filter-out 1,$(value $(name))),\
	$(error $(name) is 1 or left out, not "$(value $(name))")))
endif

# What make builds is in the checkout; Python would look for it elsewhere.
BUILDS := $(filter zoo source archives clean,$(MAKECMDGOALS))
ifneq ($(and $(BUILDS),$(strip $(LESION_ZOO_ROOT))),)
$(error LESION_ZOO_ROOT is set, and make builds in this folder: for make $(firstword $(BUILDS)), unset it)
endif
# It runs make, so make would run it even then.
ifneq ($(and $(filter zoo,$(BUILDS)),$(strip $(foreach flag,n q t,$(findstring $(flag),$(firstword -$(MAKEFLAGS)))))),)
$(error make zoo has no dry run: what is to be made is known when it has begun. What there is: make list)
endif
check_jobs = case $(call quoted,JOBS) in ""|*[!0-9]*|0*) \
	echo "error: JOBS="$(call quoted,JOBS)": how many trainings side by side, a whole number from 1" >&2; exit 2;; esac

help: ## list targets and settings
	@echo "Targets:"
	@awk -F '## ' '/^[a-z-]+:.*## / {split($$1, target, ":"); printf "  %-18s%s\n", target[1], $$2}' Makefile
	@echo
	@echo "Settings of a study (make zoo DATA=... SCALE=...):"
	@echo "  DATA     phantom (default), or a folder, zip file or table of images with their classes: HAM10000, ISIC's, your own"
	@echo "  SCALE    demo (64 px, few epochs; default for the phantom), small (64 px), medium (160 px), paper (224 px; default else)"
	@echo "  SPLIT    lesion (default), thesis (by image: lesions leak), or thesis_without_siblings (what the leak is worth)"
	@echo "           fold1 ... fold5: each tests on a fifth of the images, with a SEED of its own and fixed epochs"
	@echo "  WEIGHTS  imagenet (default), or a .safetensors file"
	@echo "  ARCH     tf_efficientnet_lite0 (default; paper: tf_efficientnet_b0), or any network of timm"
	@echo "  SEED     123 (default), of classifiers"
	@echo "  GENERATOR_SEED  123 (default), of generators: another SEED leaves them as they are"
	@echo "  THREADS  1 (default), of each training; other numbers round differently"
	@echo "  SCC      the class that squamous cell carcinomas count as, say akiec (default: they are left out)"
	@echo "  STUDY    a name, instead of the one that is made of the settings above"
	@echo "Other settings:"
	@echo "  ENTRIES=\"baseline gan_1\"  for zoo: these and what they need (parents, generators)"
	@echo "  JOBS=2      trainings side by side"
	@echo "  LAUNCH=\"srun -n1 -c2 --mem=6G\"  for zoo: what each training, pool and archive is run by (docs/scaling.md)"
	@echo "  PORT=8080   for serve: the first of five ports, of three with RUNTIME=local or ray"
	@echo "  GATEWAY_PORT=8000  for serve: where browsers and phones ask, with API keys"
	@echo "  CORS=\"https://example.org http://localhost:3000\"  for serve: pages of these origins may ask (default none)"
	@echo "  HOST=0.0.0.0  for serve: answer other machines, too (default 127.0.0.1); written behind make"
	@echo "  RUNTIME=local  for serve: one process, without Java (default torchserve); written behind make"
	@echo "  RUNTIME=ray [REPLICAS=2, or 1-4] [CPUS=0.5] [ARCHIVES_URL=s3://...]  for serve: replicas of each version, on the"
	@echo "           cluster that RAY_ADDRESS names, or on this machine (docs/scaling.md)"
	@echo "  MAX_REQUEST_MB=20  for serve: the largest picture (default 10: config.properties)"
	@echo "  TOKEN_MINUTES=60  for serve: the life of a token (default 60: config.properties)"
	@echo "  NAME=phone [SCOPES=\"classify explain\"] [RATE=60/minute]  for key, and NAME for revoke; scopes: classify, explain,"
	@echo "           synthesize, feedback, admin"
	@echo "  CONTAINER=ghcr.io/you/lesion-zoo:1 [RAY_CONTAINER=...] [ARCHIVES=s3://bucket/folder] [CANARY=... SHARE=10] [REPLICAS=1-4]"
	@echo "           [ENTRIES=...] [EVENTS=postgresql://zoo@db/events] [OUT=folder]  for manifests (deploy/README.md); CRDS=folder  for check: the published CRDs"
	@echo "  EVENTS=postgresql://zoo@127.0.0.1/events  for serve: where answers and feedback are kept; without it as at the last start (at first SQLite)"
	@echo "  KEEP_DAYS=90  for serve: how long; without it as at the last start (at first 365)"
	@echo "  NAME=lite ARMS=\"transfer=0.9 lite1=0.1\" [SHADOW=ensemble] [METRIC=accuracy] [DIFFERENCE=0.03]"
	@echo "           [GUARD=\"errors=0.05 latency_ms=10000 answers=100\"]  for experiment, and NAME for stop-experiment"
	@echo "  CLIENT=name [KEY=phone]  for forget: whose answers and feedback are deleted; EVENTS=postgresql://zoo@db/events: those of a cluster (deploy/README.md)"
	@echo "  IMAGE=\"a.jpg b.jpg\" [ENTRY=transfer] [OUT=answers.csv]  for predict: pictures, a folder, or a pattern (\"photos/*.jpg\")"
	@echo "  IMAGE=mole.jpg [ENTRY=transfer] [CLASS=mel] [OUT=overlay.png]  for explain"
	@echo "  TEST=folder-or-table [STRICT=1] [SCC=akiec]  for compare: labeled images from outside, in any form that DATA has"
	@echo "  NAME=lite  for experiment-report (default: the one that runs); [ENTRY=transfer] [HOURS=168]  for drift"
	@echo "  ENTRY=gan_2|best [FORCE=1]  for promote; or EXPERIMENT=lite [ENTRY=transfer]; WHY=\"too slow\"  for rollback"
	@echo "  CLASS=mel|all COUNT=16 SEED=7 [GENERATOR=sagan] [OUT=folder or grid.png]  for synthesize"
	@echo "  PYTHON3=python3  the interpreter that .venv is made with (3.11 or later)"

# ---- set-up

.venv/installed: requirements.lock
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON3) is older than Python 3.11; name a newer one: make PYTHON3=python3.12" >&2; exit 2; }
	@free=$$(df -Pk . | awk 'NR == 2 {print int($$4 / 1048576)}'); test $$free -ge $(FREE_GB) \
		|| { echo "error: $(FREE_GB) GB of free disk are needed to install, and there are $$free" >&2; exit 2; }
	@echo "Installing what requirements.lock names into .venv: about 7 GB, some minutes, once."
	@$(PYTHON3) -m venv .venv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

LOCK := uv pip compile --universal --python-version 3.11 --no-header --no-annotate pyproject.toml

lock: ## write requirements.lock and requirements-serve.lock anew from pyproject.toml (needs uv)
	$(LOCK) --group train --group dev --extra formats --extra postgresql --extra ray -o requirements.lock
	$(LOCK) -c requirements.lock -o requirements-serve.lock

# ---- the zoo

zoo: .venv/installed ## train and archive every entry of a study, or ENTRIES
	@$(check_jobs)
	@begin=$$(date +%s); mkdir -p runs && exec 9>>runs/.lock || exit 2; \
	study=$$($(PYTHON) -m zoo resolve $(SETTINGS) --entries $(call given,ENTRIES) --claim 9) || exit 2; \
	jobs="$(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))"; \
	$(MAKE) --no-print-directory $$jobs STUDY="$$study" source && \
	$(MAKE) --no-print-directory $$jobs STUDY="$$study" archives || exit 2; \
	$(PYTHON) -m zoo list --study "$$study" && \
	seconds=$$(($$(date +%s) - begin)) && \
	echo "make zoo took $$((seconds / 60)) min $$((seconds % 60)) s after installing." && \
	echo "Next: make serve$(if $(strip $(SETTINGS)), STUDY=$$study)"

# What make must know of a study: its entries, who trains each, and what each is made from. `zoo resolve` writes it.
ifdef STUDY
-include $(RUNS)/entries.mk
endif

there_is_one = $(if $(strip $(ENTRIES_MADE)),:,echo "error: $(if $(STUDY),no study "$(call quoted,STUDY)" here: make zoo makes one,of which study? make $@ STUDY=... goes on with one of make zoo)" >&2; exit 2)

source: $(SOURCES:%=$(RUNS)/%/weights.safetensors)
	@$(there_is_one)

archives: $(ENTRIES_MADE:%=$(ARCHIVES)/%.mar)
	@$(there_is_one)

# Trainings (also of ensembles), pools and archives are what LAUNCH puts elsewhere. Pretrained weights take seconds, and
# may need the network, which nodes often lack.
launched = $(if $(filter LAUNCH,$(GIVEN)),$(PYTHON) -m zoo launch $@ --by $(call quoted,LAUNCH) --)

# What writes an archive, and what is written into it.
PACKING := zoo/packaging/features.py zoo/packaging/archive.py zoo/packaging/card.py zoo/packaging/model_card.md.j2 \
	$(wildcard zoo/kinds/*.py) zoo/serving/torchserve/archiver.py pyproject.toml

# A recipe is rewritten only when its content changes; weights are written last, so newer weights mean a whole run.
ifneq ($(strip $(ENTRIES_MADE)),)
$(ENTRIES_MADE:%=$(ARCHIVES)/%.mar): $(ARCHIVES)/%.mar: $(RUNS)/%/weights.safetensors $(RUNS)/%/about.json $(PACKING)
	@$(launched) $(PYTHON) -m zoo archive $* --study $(call quoted,STUDY)

$(ENTRIES_MADE:%=$(RUNS)/%/weights.safetensors): $(RUNS)/%/weights.safetensors: $(RUNS)/%/recipe.json
	@$(launched) $(PYTHON) -m $(TRAINER) $* --study $(call quoted,STUDY)

endif

ifneq ($(strip $(SOURCES)),)
$(SOURCES:%=$(RUNS)/%/weights.safetensors): $(RUNS)/%/weights.safetensors: $(RUNS)/%/recipe.json
	@$(PYTHON) -m zoo pretrained $* --study $(call quoted,STUDY)
endif

ifneq ($(strip $(POOLS)),)
$(POOLS:%=$(RUNS)/%/pool/manifest.json): $(RUNS)/%/pool/manifest.json: $(RUNS)/%/weights.safetensors
	@$(launched) $(PYTHON) -m gan pool $* --study $(call quoted,STUDY)
endif

list: .venv/installed ## show every entry, its score and its state
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m zoo list --study "$$study"

# ---- serving

serve: .venv/installed ## start TorchServe, or RUNTIME=local or ray, with every archive of a study, and the gateway
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway serve --study "$$study" $(call option,port,PORT) \
		$(call option,gateway-port,GATEWAY_PORT) $(call option,cors,CORS) \
		$(call option,host,HOST) $(call option,runtime,RUNTIME) \
		$(call option,max-request-mb,MAX_REQUEST_MB) $(call option,token-minutes,TOKEN_MINUTES) \
		$(call option,events,EVENTS) $(call option,keep-days,KEEP_DAYS) \
		$(call option,replicas,REPLICAS) $(call option,cpus,CPUS) $(call option,archives-url,ARCHIVES_URL)

stop: .venv/installed ## stop it
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway stop --study "$$study"

status: .venv/installed ## what is served
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway status --study "$$study"

logs: .venv/installed ## the end of its logs
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway logs --study "$$study"

key: .venv/installed ## make an API key for the gateway, and print it once: NAME=phone [SCOPES="classify explain"] [RATE=60/minute]
	@test -n $(call given,NAME) || { echo "error: for whom? make key NAME=phone" >&2; exit 2; }
	@$(PYTHON) -m gateway key $(if $(filter SCOPES,$(GIVEN)),--scopes $(call quoted,SCOPES)) \
		$(if $(filter RATE,$(GIVEN)),--rate $(call quoted,RATE)) -- $(call given,NAME)

keys: .venv/installed ## list the API keys
	@$(PYTHON) -m gateway keys

revoke: .venv/installed ## make an API key invalid: NAME=phone
	@test -n $(call given,NAME) || { echo "error: whose key? make revoke NAME=phone" >&2; exit 2; }
	@$(PYTHON) -m gateway revoke -- $(call given,NAME)

manifests: .venv/installed ## write manifests for KServe and KubeRay: [CONTAINER=ghcr.io/you/lesion-zoo:1] [CANARY=s3://bucket/next SHARE=10]
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway.manifests --study "$$study" $(call option,container,CONTAINER) \
		$(call option,ray-container,RAY_CONTAINER) $(call option,archives,ARCHIVES) \
		$(call option,canary,CANARY) $(call option,share,SHARE) $(call option,replicas,REPLICAS) \
		$(call option,entries,ENTRIES) $(call option,events,EVENTS) $(call option,out,OUT)

experiment: .venv/installed ## share what comes in among versions, or change the shares: NAME=lite ARMS="transfer=0.9 lite1=0.1" [SHADOW=ensemble]
	@{ test -n $(call given,NAME) && test -n $(call given,ARMS); } \
		|| { echo 'error: which arms? make experiment NAME=lite ARMS="transfer=0.9 lite1=0.1"' >&2; exit 2; }
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway experiment --study "$$study" --arms $(call given,ARMS) \
		$(call option,shadow,SHADOW) $(call option,metric,METRIC) $(call option,difference,DIFFERENCE) \
		$(call option,guard,GUARD) -- $(call given,NAME)

experiments: .venv/installed ## list them
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway experiments --study "$$study"

stop-experiment: .venv/installed ## end one: NAME=lite
	@test -n $(call given,NAME) || { echo "error: which experiment? make stop-experiment NAME=lite" >&2; exit 2; }
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway stop-experiment --study "$$study" -- $(call given,NAME)

forget: .venv/installed ## delete a client's answers and feedback: CLIENT=name [KEY=phone] [EVENTS=...]
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway forget --study "$$study" $(call option,client,CLIENT) \
		$(call option,key,KEY) $(call option,events,EVENTS)

experiment-report: .venv/installed ## judge an experiment by its feedback, and write its page: [NAME=lite]
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway experiment-report --study "$$study" $(call option,name,NAME)

experiment-demo: .venv/installed ## an experiment that runs by itself, on the phantom, in two minutes
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway experiment-demo --study "$$study"

drift: .venv/installed ## what versions answer, hour by hour, against validation: [ENTRY=transfer] [HOURS=168]
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway drift --study "$$study" $(call option,entry,ENTRY) \
		$(call option,hours,HOURS)

predict: .venv/installed ## one image or several, every served version side by side: IMAGE=mole.jpg [ENTRY=transfer] [OUT=answers.csv]
	@test -n $(call given,IMAGE) || { echo "error: which image? make predict IMAGE=mole.jpg" >&2; exit 2; }
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m compare predict --study "$$study" \
		$(call option,entry,ENTRY) $(call option,out,OUT) -- $(call given,IMAGE)

explain: .venv/installed ## where in an image a version sees a class (Grad-CAM): IMAGE=mole.jpg [ENTRY=transfer] [CLASS=mel] [OUT=overlay.png]
	@test -n $(call given,IMAGE) || { echo "error: which image? make explain IMAGE=mole.jpg" >&2; exit 2; }
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m compare explain --study "$$study" \
		$(call option,entry,ENTRY) $(call option,class,CLASS) $(call option,out,OUT) -- $(call given,IMAGE)

compare: STUDY_SETTINGS := $(if $(call set,TEST),$(filter-out SCC,$(STUDY_SETTINGS)),$(STUDY_SETTINGS)) # with TEST, SCC is the test's
compare: .venv/installed ## score every served version through REST and write the report: [TEST=folder-or-table [STRICT=1] [SCC=akiec]]
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m compare evaluate --study "$$study" $(call option,test,TEST) \
		$(if $(call set,STRICT),--strict) $(if $(call set,TEST),$(call option,scc,SCC))

results: .venv/installed ## record what is finished of a study in docs/results, and write docs/results.md: STUDY=...
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m compare record --study "$$study" && $(PYTHON) -m compare results

promote: .venv/installed ## make an entry the default version: ENTRY=gan_2, or best (by validation), or EXPERIMENT=lite (its winner) [FORCE=1]
	@test -n $(call given,ENTRY)$(call given,EXPERIMENT) \
		|| { echo "error: which entry? make promote ENTRY=gan_2, or ENTRY=best, or EXPERIMENT=lite" >&2; exit 2; }
	@study=$(STUDY_NAME) || exit 2; \
	$(if $(call set,EXPERIMENT),$(PYTHON) -m gateway promote $(if $(call set,FORCE),--force) --study "$$study" \
		$(call option,experiment,EXPERIMENT) $(call option,entry,ENTRY),$(PYTHON) -m compare promote \
		$(if $(call set,FORCE),--force) --study "$$study" -- $(call given,ENTRY))

rollback: .venv/installed ## make the champion before the present one the default version again: [WHY="too slow"] [FORCE=1]
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m gateway rollback $(if $(call set,FORCE),--force) --study "$$study" \
		$(call option,why,WHY)

synthesize: STUDY_SETTINGS := DATA SCALE SPLIT WEIGHTS ARCH GENERATOR_SEED THREADS SCC STUDY # here, SEED is the images'
synthesize: .venv/installed ## new lesions from a generator: CLASS=mel COUNT=16 SEED=7 [GENERATOR=sagan] [OUT=...]
	@study=$(STUDY_NAME) || exit 2; $(PYTHON) -m compare synthesize --study "$$study" $(call option,class,CLASS) \
		$(call option,count,COUNT) $(call option,seed,SEED) $(call option,generator,GENERATOR) $(call option,out,OUT)

# ---- the data

describe: .venv/installed ## classes, channels, lesions and contact sheets of DATA
	@$(PYTHON) -m lesions describe $(if $(filter DATA,$(GIVEN)),$(call quoted,DATA)) $(call option,scc,SCC)

download: .venv/installed ## fetch the real HAM10000 (2.8 GB) into data/ham10000
	@$(PYTHON) -m lesions download

# ---- the project

test: .venv/installed ## pass the tests, JOBS files of them side by side; HAM10000=folder adds those on the real data
	@$(check_jobs)
	@HAM10000=$(call quoted,HAM10000) OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(JOBS) --dist loadfile

test-slurm: .venv/installed ## pass the tests on a real Slurm of two nodes on this machine (apt-get install slurm-wlm munge)
	@$(PYTHON) -m pytest -rs tests/slurm

test-ray: .venv/installed ## pass all tests on RUNTIME=ray, also on two nodes of this machine, one of which dies (half an hour)
	@$(PYTHON) -m pytest -m ray tests tests/faults

faults: .venv/installed ## do harm on purpose, and write what came of it into docs/reliability.md
	@RELIABILITY=docs/reliability.md $(PYTHON) -m pytest tests/faults

docs: .venv/installed ## build the documentation into site/: open site/index.html
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

check: .venv/installed ## style, types, the direction of imports, manifests, and the documentation: [CRDS=folder]
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	$(PYTHON) -m deploy.validate $(call option,crds,CRDS)
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

format: .venv/installed ## put the code into its style
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

clean: ## stop what is served, and remove what was built, but neither .venv, nor downloaded data, nor events and experiments
	@test ! -d runs || test ! -x $(PYTHON) || { exec 9>>runs/.lock && $(PYTHON) -m zoo idle 9; }
	@for serve in runs/*/serve; do test ! -d "$$serve" || { test -x $(PYTHON) || \
		{ echo "error: .venv, which stops what is served, is missing: make .venv/installed, or rm -r runs/*/serve" >&2; exit 2; }; \
		$(PYTHON) -m gateway stop --study "$$(basename "$$(dirname "$$serve")")"; } || exit; done
	rm -rf site reports data/phantom data/cache
	@for kept in runs model_store; do test ! -d $$kept || { \
		find $$kept/ -mindepth 2 -maxdepth 2 ! -name 'events.*' ! -name experiments ! -name champion.json -exec rm -rf {} + && \
		find $$kept/ -mindepth 1 -maxdepth 1 -type d -empty -delete; }; done
