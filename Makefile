# Two commands matter: `make up` runs the product, `make test` tests it.
.PHONY: install up test test-peers e2e check format lock bench chaos clean
PY := .venv/bin/python
UV := .venv/bin/uv

# The mark is newer than the lock and the project file, or the environment is made again.
.venv/.installed: requirements/dev.txt requirements/uv.txt pyproject.toml
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(UV) pip install --quiet --compile-bytecode --python $(PY) --require-hashes -r requirements/dev.txt
	$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	$(PY) -m compileall -q src
	touch $@

install: .venv/.installed

up: .venv/.installed
	.venv/bin/posthouse up

test: .venv/.installed
	$(PY) -m pytest -n 2 --dist worksteal --ignore tests/peers --ignore tests/e2e/pages

# Clients that others wrote, against the real server; it needs Node 18 or newer, and its npm.
test-peers: .venv/.installed
	@command -v npm >/dev/null || { echo "make test-peers needs Node 18 or newer: apt-get install nodejs npm" >&2; exit 1; }
	npm --prefix tests/peers ci --silent
	$(PY) -m pytest tests/peers

# The pages for people, in a real browser.
e2e: .venv/.installed
	@command -v chromium chromium-browser google-chrome >/dev/null || { echo "make e2e needs Chromium: apt-get install chromium" >&2; exit 1; }
	$(PY) -m pytest tests/e2e/pages

chaos: .venv/.installed
	$(PY) -m pytest tests/chaos tests/notifications/test_promises_schedules.py -p no:randomly --chaos long

bench: .venv/.installed
	$(PY) -m bench all

check: .venv/.installed
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/pyright
	.venv/bin/lint-imports --config importlinter.toml
	$(PY) -m tools.house
	.venv/bin/codespell
	.venv/bin/deptry src

format: .venv/.installed
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

# Pinned with hashes, without naming where the packages come from.
lock: .venv/.installed
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 --extra all pyproject.toml -o requirements/app.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 --extra all --group dev pyproject.toml -o requirements/dev.txt

clean:
	rm -rf .venv tests/peers/node_modules .ruff_cache .pytest_cache .hypothesis dist build
