"""Run a script in keras.io's format cell by cell."""

import contextlib
import io
import os
import pathlib
import re
import sys

from kept import Shown

COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_cells(script, folder, arguments=()):
    """Run the cells of code in one namespace, as a program would.

    Args:
        script: `cells.Script`.
        folder: path, an empty folder that becomes the working directory.
            PNG files that a cell writes below it are pictures of this cell.
        arguments: list of str, the arguments of the program.

    Returns:
        List of `kept.Shown`, one for each cell of code.
    """
    os.chdir(folder)
    sys.argv = [str(script.path), *arguments]
    namespace = {"__name__": "__main__", "__file__": str(script.path)}
    return [
        _run(cell, script.path, namespace, folder) for cell in script.code_cells
    ]


def _run(cell, path, namespace, folder):
    # Empty lines before it, so that an error names the line of the file.
    code = compile("\n" * (cell.line - 1) + cell.text, str(path), "exec")
    before = _pictures(folder)
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        exec(code, namespace)
    now = _pictures(folder)
    new = [file for file, state in now.items() if before.get(file) != state]
    return Shown(
        as_seen(stdout.getvalue()), [file.read_bytes() for file in new]
    )


def _pictures(folder):
    """PNG files by path, oldest first, and what tells that they changed."""
    files = pathlib.Path(folder).rglob("*.png")
    states = {file: file.stat().st_mtime_ns for file in files}
    return dict(sorted(states.items(), key=lambda item: item[1]))


def as_seen(text):
    """What a terminal shows in the end: no colours, and of a line that was
    written again and again the last."""
    text = COLOURS.sub("", text).replace("\b", "")
    lines = []
    for line in text.split("\n"):
        last = [part for part in line.split("\r") if part.strip()]
        lines.append(last[-1].rstrip() if last else "")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
