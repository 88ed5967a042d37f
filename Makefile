# Linux and macOS. On Windows use environment.yml and the command n2n itself.
PYTHON ?= python3
ARGS ?=
STUDENT ?= student
ZIP ?= n2n-lessons.zip

BIN := .venv/bin
STAMP := .venv/.complete
BOOK := .venv/.book
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=1200 \
	--nbval-sanitize-with notebooks/nbval_sanitize.cfg

.PHONY: help setup train test student student-zip lab lab-instructor notebooks html book \
	book-student book-check weights bench mutants fuzz attacks kills lint clean
.NOTPARALLEL:

help: ## say what can be made (ARGS="..." is handed to n2n: make train ARGS="--pairs 1000")
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## create .venv with everything in it; the other targets do so by themselves

# The stamp comes last: a setup that was interrupted leaves none, and begins anew, as does one over
# a .venv that another Python made.
$(STAMP): pyproject.toml constraints.txt
	@echo "Setting up .venv, which takes some minutes ..."
	@rm -f $(STAMP)
	@$(PYTHON) -m venv $(if $(wildcard $(STAMP)),,--clear) .venv
	@PIP_USER=0 $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,bench,grading]'
	@touch $(STAMP)

train: $(STAMP) ## train the report's network on photographs; write model, curves and pictures to out/
	@$(BIN)/n2n train $(ARGS)

# Three at a time, one thread each: more threads would wait for each other, and of three processes
# two find work for two cores while one waits. The tests of the course, those of the command line and
# the lessons are a queue, from which the process of all other tests goes on when it is done; who
# makes the folder of a part runs it.
test: $(STAMP) ## run the unit tests, and beside them the lessons under nbval
	@status=0; logs=$$(mktemp -d); export OMP_NUM_THREADS=1; \
	queue() { \
		for part in tests/course tests/cli notebooks/*.ipynb; do \
			log=$$logs/$${part#*/}; mkdir "$$log" 2>/dev/null || continue; \
			case $$part in tests/*) flags=;; *) flags="$(NBVAL)";; esac; \
			$(BIN)/python -m pytest $$flags "$$part" >"$$log/log" 2>&1 & \
			wait $$! || touch "$$logs/failed"; \
		done; \
	}; \
	aside() { trap 'kill $$! 2>/dev/null; exit 143' TERM; queue; }; \
	aside & one=$$!; aside & other=$$!; \
	trap 'kill $$one $$other $$! 2>/dev/null; rm -rf "$$logs"' EXIT; \
	trap 'exit 130' INT TERM; \
	echo "Unit tests; what their other parts and the lessons say, beside them, comes after"; \
	$(BIN)/python -m pytest tests --ignore=tests/course --ignore=tests/cli || status=1; \
	echo "The other parts and the lessons"; queue; \
	wait $$one || status=1; wait $$other || status=1; \
	cat "$$logs"/*/log; [ ! -e "$$logs/failed" ] || status=1; \
	exit $$status

student: $(STAMP) ## write the lessons without solutions to student/, or update them there
	@$(BIN)/n2n student $(STUDENT) $(ARGS)

student-zip: $(STAMP) ## write a fresh student edition to hand out, n2n-lessons.zip
	@$(BIN)/n2n student $(ZIP) $(ARGS)

lab: $(STAMP) ## open the student edition in JupyterLab
	@$(BIN)/n2n lab $(STUDENT)

lab-instructor: $(STAMP) ## open the lessons with their solutions in JupyterLab
	@$(BIN)/n2n lab --instructor

notebooks: $(STAMP) ## re-execute all lessons and save them with fresh outputs
	@$(BIN)/n2n notebooks $(ARGS)

html: $(STAMP) ## write the lessons as web pages to build/html
	@$(BIN)/jupyter nbconvert --to html --output-dir build/html notebooks/*.ipynb

# What the book needs is installed when somebody makes it.
$(BOOK): $(STAMP)
	@echo "Adding to .venv what the book needs ..."
	@PIP_USER=0 $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[book]'
	@touch $(BOOK)

book: $(BOOK) ## write the lessons, executed, and the reference as a web site to build/book
	@$(BIN)/python docs/book/make_book.py

book-student: $(BOOK) ## the same without solutions and answers, in build/book-student
	@$(BIN)/python docs/book/make_book.py --student

book-check: book book-student ## open every page in Chromium: links, search, keyboard, accessibility
	@$(BIN)/python -m pytest tests/book_site.py

PHOTOS := --noise gaussian --sigma 25 --patch 64 --scale 1-4 --jitter 0.4
FRESH := --optimiser adam --schedule warmup-cosine --ema 0.999
UNET := --network unet --network-options depth=3,slope=0
SMALL := --network unet --network-options width=16,slope=0
CAMERAS := --noise camera --patch 64 --scale 1-4 --jitter 0.4 --weight-floor 2
WIDER := --data out/photographs
weights: $(STAMP) ## train the networks that come along anew, some hours; they go to out/
	$(BIN)/python -m tools.wider out/photographs
	$(BIN)/n2n train --batch 4 --lr 2 --out out/report
	$(BIN)/n2n train $(SMALL) $(WIDER) --steps 12000 --batch 32 $(FRESH) --resume --out out/bestmodel
	$(BIN)/n2n train $(UNET) $(WIDER) --steps 12000 --batch 32 $(FRESH) --resume --out out/unet-pixels
	$(BIN)/n2n train $(UNET) $(PHOTOS) --steps 30000 --batch 8 $(FRESH) --resume --out out/unet
	$(BIN)/n2n train --start out/unet/model.pth $(CAMERAS) $(WIDER) --steps 16000 \
		--batch 8 --lr 3e-4 $(FRESH) --resume --out out/unet-camera

bench: $(STAMP) ## measure speed against PyTorch
	@$(BIN)/n2n bench $(ARGS)

mutants: $(STAMP) ## break the library in small ways, and require that the lessons notice
	@$(BIN)/python -m tools.mutations $(ARGS)

fuzz: $(STAMP) ## give every loader damaged and hostile files (Linux; ARGS="--inputs 10000")
	@$(BIN)/python -m tools.fuzz $(ARGS)

attacks: $(STAMP) ## attack the grader as root and as nobody, with and without a fence (Linux, as root)
	@status=0; for fence in required none; do for user in "" "--user nobody"; do \
		echo "--fence $$fence $$user"; \
		$(BIN)/python -m tools.attacks --strict --fence $$fence $$user $(ARGS) || status=1; \
	done; done; exit $$status

kills: $(STAMP) ## kill running commands at random moments, and require that nothing is lost
	@$(BIN)/python -m tools.kills $(ARGS)

lint: $(STAMP) ## check style, format, the directions of imports, and spelling
	@status=0; \
	echo "ruff check"; $(BIN)/ruff check . || status=1; \
	echo "ruff format --check"; $(BIN)/ruff format --check . || status=1; \
	echo "lint-imports"; $(BIN)/lint-imports || status=1; \
	echo "codespell"; $(BIN)/codespell || status=1; \
	exit $$status

clean: ## remove .venv, build and all caches; what was trained stays
	@echo "Removing .venv, build and caches"
	@rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find n2n_lib tests notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
