# `make demo` trains the main job, `make test` runs the suite; both make the
# environment that they need, once. `make docs` builds the site, `make docs-run`
# runs the guides and examples whose code has changed, for what the site shows.

PYTHON ?= python3
DEMO = .venv-demo
TEST = .venv-test
DOCS = .venv-docs
# Who is done takes over what others have not begun.
PYTEST = $(TEST)/bin/python -m pytest -q -n 2 --dist worksteal

.PHONY: demo test docs docs-run format clean

demo: $(DEMO)/ready
	KERAS_BACKEND=jax $(DEMO)/bin/python examples/vision_language/jest.py

test: $(TEST)/ready $(DOCS)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	KERAS_BACKEND=torch $(PYTEST) -m ""
	KERAS_BACKEND=jax $(PYTEST) -m "not slow and not once"
	KERAS_BACKEND=tensorflow $(PYTEST) -m "not slow and not once"

docs: $(DOCS)/ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	@echo "The site is build/site/index.html"

docs-run: $(DEMO)/ready
	KERAS_BACKEND=jax $(DEMO)/bin/python scripts/docs/keep_outputs.py

format: $(TEST)/ready
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

$(DEMO)/ready: setup.py requirements/demo.txt
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install -q -r requirements/demo.txt
	$(DEMO)/bin/pip install -q --no-deps -e .
	touch $@

$(TEST)/ready: setup.py requirements/demo.txt requirements/test.txt requirements/torch.txt
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install -q -r requirements/torch.txt
	$(TEST)/bin/pip install -q -r requirements/test.txt
	$(TEST)/bin/pip install -q --no-deps -e .
	touch $@

$(DOCS)/ready: requirements/docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install -q -r requirements/docs.txt
	touch $@

clean:
	rm -rf $(DEMO) $(TEST) $(DOCS) build
