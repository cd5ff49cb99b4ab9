"""Guides and examples have the form of keras.io, and their outputs are those
of the code that is there."""

import io
import json

import cells
import kept
import numpy as np
import pytest
import run_cells
from PIL import Image

pytestmark = pytest.mark.once

HEADER = '"""\nTitle: A title\nDescription: One line\n  and another.\n"""\n\n'
RUN_ANEW = "`make docs-run` runs it and keeps what it shows"


def write(folder, body):
    path = folder / "script.py"
    path.write_text(HEADER + body, "utf-8")
    return cells.read_script(path)


@pytest.mark.parametrize("path", kept.all_scripts())
def test_what_is_kept_was_shown_by_this_code(path):
    assert kept.is_current(path), f"{path} has changed: {RUN_ANEW}"
    record = kept.kept_of(path)
    script = cells.read_script(kept.ROOT / path)
    assert len(record["cells"]) == len(script.code_cells)
    named = [name for cell in record["cells"] for name in cell["pictures"]]
    there = [file.name for file in kept.folder_of(path).glob("*.png")]
    assert sorted(named) == sorted(there)
    for file in kept.folder_of(path).iterdir():
        assert file.stat().st_size <= kept.MOST_BYTES
    assert any(cell["text"] for cell in record["cells"])


def test_nothing_is_kept_of_what_is_not_there():
    folders = {folder.name for folder in kept.OUTPUTS.iterdir()}
    scripts = {kept.folder_of(path).name for path in kept.all_scripts()}
    assert len(scripts) == len(kept.all_scripts())
    assert folders == scripts


@pytest.mark.parametrize("path", kept.all_scripts())
def test_a_script_has_the_form_of_keras_io(path):
    script = cells.read_script(kept.ROOT / path)
    assert script.num_code_lines <= 300
    assert {"Title", "Author", "Description", "Date created"} <= set(
        script.header
    )
    assert script.cells[0].kind == "text"
    assert script.cells[0].text.startswith("## Introduction")


def test_a_script_is_parted_into_cells(tmp_path):
    script = write(tmp_path, '"""\n## Text\n"""\n\nx = """a\nb"""\n\n\ny = 1\n')
    assert script.header["Description"] == "One line and another."
    assert [(cell.kind, cell.line) for cell in script.cells] == [
        ("text", 8),
        ("code", 11),
    ]
    assert script.cells[1].text == 'x = """a\nb"""\n\n\ny = 1'
    assert script.num_code_lines == 3
    with pytest.raises(ValueError, match="no end"):
        write(tmp_path, '"""\n## Text\n')


def test_the_hash_follows_the_code_alone(tmp_path):
    hashes = [
        write(tmp_path, body).code_hash
        for body in (
            '"""\nText\n"""\nx = 1\n"""\nMore\n"""\ny = 2\n',
            '"""\nOther text\n"""\n\nx = 1\n"""\nMore\n"""\ny = 2\n',
            '"""\nText\n"""\nx = 1\n"""\nMore\n"""\ny = 3\n',
            '"""\nText\n"""\nx = 1\ny = 2\n',
        )
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_cells_are_run_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    script = write(
        tmp_path,
        "from PIL import Image\nx = 2\nprint('one')\n"
        '"""\nText\n"""\n'
        "Image.new('RGB', (4, 4)).save('a.png')\nprint(x + 1)\n"
        '"""\nText\n"""\n'
        "print('5/9 wait', end='\\r')\n"
        "print('\\b\\b\\x1b[1m9/9\\x1b[0m done')\n",
    )
    shown = run_cells.run_cells(script, tmp_path / "run", ["--fast"])
    assert [of.text for of in shown] == ["one", "3", "9/9 done"]
    assert [len(of.pictures) for of in shown] == [0, 1, 0]


def test_an_error_names_the_line_of_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = write(tmp_path, '"""\nText\n"""\nx = 1\nraise KeyError(x)\n')
    with pytest.raises(KeyError) as error:
        run_cells.run_cells(script, tmp_path)
    assert error.traceback[-1].lineno + 1 == 11


def test_keeping_replaces_what_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "OUTPUTS", tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3), "uint8")
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    kept.keep("guides/a.py", "old", [kept.Shown("", [b"1", b"2"])], {})
    kept.keep("guides/a.py", "new", [kept.Shown("x", [file.getvalue()])], {})
    folder = tmp_path / "a"
    assert {of.name for of in folder.iterdir()} == {"1.png", "kept.json"}
    assert json.loads((folder / "kept.json").read_text())["code"] == "new"
    with Image.open(folder / "1.png") as picture:
        assert picture.width / picture.height == pytest.approx(1.5, abs=0.02)
    assert (folder / "1.png").stat().st_size <= kept.MOST_BYTES
