"""The pages of docs/ and the README run as they stand, and say what is so.

A block of `python` is run; one of `py` is shown, and needs a network, a cluster
or data that a test has not.
"""

import importlib.util
import pathlib
import re

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
ON = re.compile(r"# On (.*)\n")
PRINTED = re.compile(r"^print\((.*)\)$")
SAID = re.compile(r"^(?P<code>[^ #=].*?)  # (?P<value>.+)$")
# What a block may ask for that the tests do not install.
OPTIONAL = {"datasets"}


def marked(page):
    """A page that names backends is run on each, others on one."""
    marks = [] if ON.search(page.read_text("utf-8")) else [pytest.mark.once]
    return pytest.param(page, id=page.stem, marks=marks)


def is_for(backend, block):
    on = ON.match(block)
    return not on or backend in re.findall(r"\w+", on[1])


def is_runnable(block):
    """Whether what it imports is there; a folder of tests is no package."""
    names = OPTIONAL & set(re.findall(r"^import (\w+)", block, re.M))
    specs = map(importlib.util.find_spec, names)
    return all(spec is not None and spec.origin for spec in specs)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in; what is set for all is undone."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(None)


@pytest.mark.filterwarnings("ignore:CaptionedFolder skips")
@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_a_page_runs(page, folder):
    names = {"__name__": "page"}
    for block in BLOCK.findall(page.read_text("utf-8")):
        if is_for(keras.backend.backend(), block) and is_runnable(block):
            run(block, names, page.name)


def run(block, names, page):
    """Run a block, and hold each line `code  # value` to its word."""
    exec(compile(block, page, "exec"), names)
    for line in filter(None, map(SAID.match, block.splitlines())):
        expected = value_of(line["value"])
        if expected is not NotImplemented:
            code = PRINTED.sub(r"\1", line["code"])
            assert eval(code, names) == expected, line[0]


def value_of(text):
    """What is said to come out; a remark in words says nothing."""
    try:
        return eval(text, {})
    except (NameError, SyntaxError):
        return NotImplemented


def test_what_is_said_is_read():
    said = SAID.match("len(records)  # 48")
    assert value_of(said["value"]) == 48
    assert value_of("keeps a fifth") is NotImplemented
    for code in ("1 + 1  # 3", "print(1 + 1)  # 3"):
        with pytest.raises(AssertionError):
            run(code, {}, "page")
    assert not is_for("torch", "# On jax and tensorflow\nimport jax")


@pytest.mark.once
def test_pages_have_code_that_is_run():
    counts = {
        page.stem: len(BLOCK.findall(page.read_text("utf-8"))) for page in PAGES
    }
    assert [name for name, count in counts.items() if not count] == []
