"""What mkdocs builds besides the pages of docs/: a hook, see mkdocs.yml."""

import pathlib
import posixpath
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from api_pages import api_nav
from api_pages import api_pages
from cells import read_script
from kept import ROOT
from kept import all_scripts
from mkdocs.structure.files import File
from script_pages import page_of
from script_pages import script_pages
from script_pages import script_pictures

# Files of the repository that are pages, too.
PAGES = {
    "README.md": "index.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
HOW_TO = (
    "from_table_to_model.md",
    "own_data.md",
    "presets.md",
    "what_to_take.md",
    "evaluation.md",
    "monitoring.md",
    "stop_and_resume.md",
    "several_devices.md",
    "many_machines.md",
    "export.md",
)
FIRST_GUIDES = (
    "guides/getting_started.py",
    "guides/choosing_a_selection_policy.py",
)
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def on_config(config):
    """Make the navigation of the pages that there are."""
    scripts = sorted(
        all_scripts(),
        key=lambda path: (
            path not in FIRST_GUIDES,
            "getting" not in path,
            path,
        ),
    )
    written = {of.name for of in (ROOT / "docs").glob("*.md")} - {"index.md"}
    how_to = [of for of in HOW_TO if of in written]
    config.nav = [
        {"Home": "index.md"},
        {"How to": how_to + sorted(written - set(how_to))},
        {"Guides": _titled(scripts, "guides/")},
        {"Examples": _titled(scripts, "examples/")},
        {"API": api_nav(ROOT)},
        {
            "Project": [
                {"Benchmarks": "benchmarks.md"},
                {"Changes": "changelog.md"},
                {"Contributing": "contributing.md"},
            ]
        },
    ]
    return config


def _titled(scripts, folder):
    return [
        {read_script(ROOT / path).header["Title"]: page_of(path)}
        for path in scripts
        if path.startswith(folder)
    ]


def on_files(files, config):
    """Add pages that are made, and the files that they show."""
    written = sorted((ROOT / "docs").glob("*.md"))
    targets = {
        **PAGES,
        **{f"docs/{of.name}": of.name for of in written},
        **{path: page_of(path) for path in all_scripts()},
    }
    pages, others = {}, {}
    sources = PAGES | {f"docs/{of.name}": of.name for of in written}
    for source, page in sources.items():
        text = (ROOT / source).read_text("utf-8")
        pages[page] = _linked(text, source, page, targets, others)
    for path, page in zip(all_scripts(), script_pages().values(), strict=True):
        target = page_of(path)
        pages[target] = _linked(page, path, target, targets, others)
        others[f"{target.rpartition('/')[0]}/{path.rpartition('/')[2]}"] = (
            ROOT / path
        )
    for of in written:
        files.remove(files.get_file_from_path(of.name))
    for page, text in {**pages, **api_pages(ROOT)}.items():
        files.append(File.generated(config, page, content=text))
    for name, file in {**others, **script_pictures()}.items():
        files.append(File.generated(config, name, abs_src_path=str(file)))
    return files


def _linked(text, source, page, targets, others):
    """Turn links between files of the repository into links of the site."""

    def replace(match):
        start, link, end = match.groups()
        path = posixpath.normpath(
            posixpath.join(posixpath.dirname(source), link)
        )
        if "://" in link or not (ROOT / path).exists():
            return match[0]
        if path in targets and link != source.rpartition("/")[2]:
            target = targets[path]
        elif (ROOT / path).is_file():
            target = path if path not in targets else _beside(page, link)
            others[target] = ROOT / path
        else:
            return match[0]
        return start + posixpath.relpath(target, posixpath.dirname(page)) + end

    return LINK.sub(replace, text)


def _beside(page, name):
    return posixpath.join(posixpath.dirname(page), name)
