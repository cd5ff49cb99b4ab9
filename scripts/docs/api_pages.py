"""A page for every public name, read from the code without importing it."""

import ast
import dataclasses
import pathlib

AREAS = {
    "keras_jest": "Trainers and policies",
    "keras_jest.losses": "Losses",
    "keras_jest.selection": "Scores",
    "keras_jest.models": "Models",
    "keras_jest.layers": "Layers",
    "keras_jest.data": "Data",
    "keras_jest.datasets.pictograms": "Pictograms",
    "keras_jest.evaluation": "Evaluation",
    "keras_jest.callbacks": "Callbacks",
}
# Methods that are functions of other files.
FIT = "keras_jest.trainers.fits.fit"
COMPILE = "keras_jest.trainers.compiling.compile"
METHODS = {
    "keras_jest.JESTModel": (COMPILE, FIT),
    "keras_jest.FlexiJEST": (COMPILE, FIT),
    "keras_jest.ClassAct": (FIT,),
    "keras_jest.ActiveCLIP": (FIT,),
}


@dataclasses.dataclass(frozen=True)
class Name:
    """A public name, where it is defined, and its first line."""

    public: str  # keras_jest.losses.given
    defined: str  # keras_jest.losses.loss_given_set.given
    summary: str

    @property
    def area(self):
        return self.public.rpartition(".")[0]

    @property
    def short(self):
        return self.public.rpartition(".")[2]

    @property
    def page(self):
        return f"api/{self.public}.md"


def public_names(root):
    """All that `@keras_jest_export` marks below `root`, sorted."""
    names = []
    for file in sorted((root / "keras_jest").rglob("*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            for path in _exported(node):
                module = ".".join(file.relative_to(root).with_suffix("").parts)
                summary = (ast.get_docstring(node) or "").split("\n\n")[0]
                names.append(
                    Name(
                        path,
                        f"{module}.{node.name}",
                        summary.replace("\n", " "),
                    )
                )
    return sorted(names, key=lambda name: name.public)


def _exported(node):
    """The paths under which a definition is exported: one or none."""
    for decorator in getattr(node, "decorator_list", ()):
        is_call = isinstance(decorator, ast.Call)
        if is_call and getattr(decorator.func, "id", "") == "keras_jest_export":
            yield decorator.args[0].value


def api_pages(root):
    """Markdown of all pages of the API, by path, the overview first."""
    names = public_names(root)
    pages = {"api/index.md": _overview(names)}
    for name in names:
        methods = METHODS.get(name.public, ())
        blocks = [_block(name.defined, name.public, name.short)]
        blocks += [_block(of, level=2) for of in methods]
        pages[name.page] = "\n".join(
            [f"---\ntitle: {name.short}\n---\n", *blocks]
        )
    return pages


def _block(defined, heading=None, label=None, level=1):
    """What mkdocstrings turns into the documentation of one name."""
    short = defined.rpartition(".")[2]
    return (
        f"::: {defined}\n    options:\n"
        f"      heading: {heading or short}\n"
        f"      toc_label: {label or short}\n"
        f"      heading_level: {level}\n"
    )


def api_nav(root):
    """The part of the navigation that names these pages."""
    by_area = _by_area(public_names(root))
    return ["api/index.md"] + [
        {_title(area): [{name.short: name.page} for name in names]}
        for area, names in by_area.items()
    ]


def _overview(names):
    lines = ["# API", "", "All public names. What is not here may change.", ""]
    for area, of_area in _by_area(names).items():
        lines += [f"## {_title(area)}", "", f"`{area}`", ""]
        lines += ["| name | what it is for |", "|---|---|"]
        for name in of_area:
            page = pathlib.PurePosixPath(name.page).name
            lines.append(f"| [`{name.short}`]({page}) | {name.summary} |")
        lines.append("")
    return "\n".join(lines)


def _by_area(names):
    """Names in the order of `AREAS`; an area that is new comes last."""
    areas = dict.fromkeys([*AREAS, *(name.area for name in names)])
    groups = {of: [n for n in names if n.area == of] for of in areas}
    return {area: of_area for area, of_area in groups.items() if of_area}


def _title(area):
    return AREAS.get(area, area.rpartition(".")[2].capitalize())
