"""The page about own data runs as it stands, and says what is so."""

import pathlib
import re

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "own_data.md"
SAID = re.compile(r"^(?P<code>[^ #=].*?)  # (?P<value>.+)$")

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:CaptionedFolder skips"),
]


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    names = {"__name__": "page"}
    for number, block in enumerate(blocks):
        if "import datasets" in block:
            try:
                import datasets.arrow_dataset  # noqa: F401
            except ImportError:
                continue
        exec(compile(block, f"<block {number}>", "exec"), names)
        for line in filter(None, map(SAID.match, block.splitlines())):
            value = eval(line["code"], names)
            assert value == eval(line["value"]), line[0]
    assert len(blocks) > 10
    assert len(names["arrays"]["images"]) == 48
    assert (tmp_path / "picks.html").stat().st_size > 10_000
