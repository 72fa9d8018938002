# Every check of the project. `./check` sets up first and then calls `make --keep-going check`.
# PARTS names tests to run instead of all: make check PARTS=tests/formats
BIN := .venv/bin
NODE_PATH := $(CURDIR)/.venv/bin
PARTS ?=
PROCESSES ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: check lint format types imports migrations frontend test messages
ifeq ($(strip $(PARTS)),)
check: lint format types imports migrations frontend test
else
check: test
endif

lint:
	$(BIN)/ruff check .

format:
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

migrations:
	$(BIN)/python manage.py makemigrations --check --dry-run

frontend:
	cd static && PATH="$$PATH:$(NODE_PATH)" npm run --silent typecheck

test:
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile -rsR $(PARTS)

# Takes new texts into locale/, to be translated there. Needs GNU gettext (apt install gettext).
messages:
	$(BIN)/python manage.py messages
