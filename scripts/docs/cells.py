"""A guide or example in keras.io's format, as its cells."""

import dataclasses
import hashlib
import pathlib

QUOTES = '"""'


@dataclasses.dataclass(frozen=True)
class Cell:
    """Text in markdown, or code, and the line of the file it begins at."""

    kind: str  # "text" or "code"
    text: str
    line: int


@dataclasses.dataclass(frozen=True)
class Script:
    """What a file in keras.io's format holds."""

    path: pathlib.Path
    header: dict
    cells: tuple

    @property
    def code_cells(self):
        return [cell for cell in self.cells if cell.kind == "code"]

    @property
    def code_hash(self):
        """Changes with any cell of code, and with their order."""
        code = "\0".join(cell.text for cell in self.code_cells)
        return hashlib.sha256(code.encode()).hexdigest()

    @property
    def num_code_lines(self):
        """Lines of code as keras.io counts them: empty ones are none."""
        lines = "\n".join(cell.text for cell in self.code_cells).splitlines()
        return sum(bool(line.strip()) for line in lines)


def read_script(path):
    """Part a file at the lines that hold three quotes alone.

    Args:
        path: str or path of a `.py` file. Its first cell is the header, one
            `Name: value` a line; a value goes on in lines that are indented.

    Returns:
        A `Script`.

    Raises:
        ValueError: The first line is not three quotes, a text cell is not
            closed, or the header has no `Title`.
    """
    path = pathlib.Path(path)
    cells = list(_cells(path))
    if not cells or cells[0].kind != "text" or cells[0].line != 2:
        raise ValueError(f"{path} must begin with a header in three quotes.")
    header = _header(cells[0].text)
    if "Title" not in header:
        raise ValueError(f"The header of {path} needs a line `Title: ...`.")
    return Script(path, header, tuple(cells[1:]))


def _cells(path):
    kind, lines, first = "code", [], 1
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.rstrip() != QUOTES:
            lines.append(line)
            continue
        yield from _cell(kind, lines, first)
        kind = "code" if kind == "text" else "text"
        lines, first = [], number + 1
    if kind == "text":
        raise ValueError(f"The text from line {first} of {path} has no end.")
    yield from _cell(kind, lines, first)


def _cell(kind, lines, first):
    """One cell without empty lines around it, or none."""
    before = next((i for i, line in enumerate(lines) if line.strip()), None)
    if before is None:
        return
    text = "\n".join(lines[before:]).rstrip()
    if kind == "text":
        text = text.replace("\\\\\n", "\\\n")
    yield Cell(kind, text, first + before)


def _header(text):
    fields, name = {}, None
    for line in text.splitlines():
        if line.startswith((" ", "\t")) and name:
            fields[name] += " " + line.strip()
        else:
            name, _, value = line.partition(":")
            fields[name.strip()] = value.strip()
    return fields
