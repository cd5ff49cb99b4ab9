"""What a guide or example has shown, kept beside it in the repository."""

import dataclasses
import io
import json
import pathlib

from cells import read_script
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
OUTPUTS = ROOT / "docs" / "outputs"
MOST_BYTES = 150_000  # Of a picture.


@dataclasses.dataclass
class Shown:
    """What one cell of code has shown: text, and PNG files as bytes."""

    text: str = ""
    pictures: list = dataclasses.field(default_factory=list)


def all_scripts():
    """The guides and examples, by their paths in the repository."""
    files = [*ROOT.glob("guides/*.py"), *ROOT.glob("examples/*/*.py")]
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def folder_of(path):
    """Where the outputs of a script are: `docs/outputs/<name>`."""
    return OUTPUTS / pathlib.Path(path).stem


def kept_of(path):
    """What is kept of a script, or `None`."""
    file = folder_of(path) / "kept.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def is_current(path):
    """Whether what is kept was shown by the code that is there now."""
    kept = kept_of(path)
    return kept and kept["code"] == read_script(ROOT / path).code_hash


def keep(path, code_hash, shown, made_with):
    """Write what the cells of code have shown, in place of what was there.

    Args:
        path: str, a script in the repository.
        code_hash: str, the hash of the code that was run.
        shown: list of `Shown`, one for each cell of code.
        made_with: dict of str, such as versions.
    """
    folder = folder_of(path)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    cells, number = [], 0
    for of in shown:
        names = []
        for data in of.pictures:
            number += 1
            names.append(f"{number}.png")
            (folder / names[-1]).write_bytes(small_png(data))
        cells.append({"text": of.text.splitlines(), "pictures": names})
    record = {"code": code_hash, "made_with": made_with, "cells": cells}
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / "kept.json").write_text(text + "\n", "utf-8")


def small_png(data):
    """The same picture in at most 150 kB: fewer colours, then fewer pixels."""
    if len(data) <= MOST_BYTES:
        return data
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    scale = 1.0
    while True:
        size = [max(1, round(side * scale)) for side in whole.size]
        file = io.BytesIO()
        smaller = whole.resize(size, Image.Resampling.LANCZOS)
        smaller.quantize(128).save(file, "PNG", optimize=True)
        if file.tell() <= MOST_BYTES:
            return file.getvalue()
        scale *= 0.85
