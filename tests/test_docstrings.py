"""Every example in the docstring of a public name runs by itself."""

import inspect
import re

import pytest

import keras_jest  # noqa: F401
from keras_jest.api_export import PUBLIC_NAMES

pytestmark = pytest.mark.once

EXAMPLES = [
    pytest.param(block, id=path)
    for path, symbol in sorted(PUBLIC_NAMES.items())
    for block in re.findall(
        r"```python\n(.*?)```", inspect.getdoc(symbol) or "", re.DOTALL
    )
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        exec(compile(example, "<example>", "exec"), {"__name__": "example"})
    except ImportError as error:
        if "pip install" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("path", sorted(PUBLIC_NAMES))
def test_a_public_name_has_an_example(path):
    assert "```python\n" in PUBLIC_NAMES[path].__doc__
