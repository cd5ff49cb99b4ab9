# `make demo` trains the main job, `make test` runs the suite; both make the
# environment that they need, once.

PYTHON ?= python3
DEMO = .venv-demo
TEST = .venv-test
# Who is done takes over what others have not begun.
PYTEST = $(TEST)/bin/python -m pytest -q -n 2 --dist worksteal

.PHONY: demo test format clean

demo: $(DEMO)/ready
	KERAS_BACKEND=jax $(DEMO)/bin/python examples/vision_language/jest.py

test: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	KERAS_BACKEND=torch $(PYTEST) -m ""
	KERAS_BACKEND=jax $(PYTEST) -m "not slow and not once"
	KERAS_BACKEND=tensorflow $(PYTEST) -m "not slow and not once"

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

clean:
	rm -rf $(DEMO) $(TEST)
