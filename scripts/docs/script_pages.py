"""Guides and examples as pages in markdown, with what they have shown."""

from cells import read_script
from kept import ROOT
from kept import all_scripts
from kept import folder_of
from kept import is_current
from kept import kept_of


def page_of(path):
    """Where the page of a script is: `guides/x.md`, `examples/x.md`."""
    folder, *_, name = path.split("/")
    return f"{folder}/{name.removesuffix('.py')}.md"


def script_pages():
    """Markdown of all guides and examples, by the path of the page."""
    return {page_of(path): script_page(path) for path in all_scripts()}


def script_pictures():
    """The kept pictures, path of the site: file."""
    pictures = {}
    for path in all_scripts():
        target = page_of(path).removesuffix(".md")
        for file in sorted(folder_of(path).glob("*.png")):
            pictures[f"{target}/{file.name}"] = file
    return pictures


def script_page(path):
    """One script: its text, its code, and under the code what it showed."""
    script = read_script(ROOT / path)
    kept = kept_of(path) if is_current(path) else None
    cells = iter(kept["cells"] if kept else ())
    name = path.rpartition("/")[2]
    parts = [f"# {script.header['Title']}", _about(script, path, kept, name)]
    for cell in script.cells:
        if cell.kind == "text":
            parts.append(cell.text)
        else:
            parts.append(_fenced(cell.text, ".python"))
            parts += _shown(next(cells, None), name.removesuffix(".py"))
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(script, path, kept, name):
    """Two lines: what it is about, and where the outputs come from."""
    lines = [f"*{script.header.get('Description', '')}*", ""]
    lines.append(f"[The script]({name}) is `{path}` in the repository.")
    if kept:
        made = kept["made_with"].items()
        versions = " and ".join(f"{of} {version}" for of, version in made)
        lines.append(f"What it shows was kept from a run with {versions},")
        lines.append("on two cores that were shared: its seconds say little.")
    else:
        lines.append("Its code has changed since what it shows was kept.")
    return "\n".join(lines)


def _shown(cell, folder):
    if cell is None:
        return
    if cell["text"]:
        yield _fenced("\n".join(cell["text"]), ".text .output")
    for name in cell["pictures"]:
        yield f"![What the cell above has drawn]({folder}/{name}){{ .shown }}"


def _fenced(text, classes):
    """A block of code; its fence is longer than any within."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence} {{ {classes} }}\n{text}\n{fence}"
