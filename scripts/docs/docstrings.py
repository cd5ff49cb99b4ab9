"""Sections of our docstrings that griffe misreads, for mkdocstrings."""

import re

import griffe

SECTION = re.compile(
    r"^(Call arguments|Reference|Returns):\n"
    r"((?:(?: {4}.*)?\n)+|(?: {4}.*\n?)+)",
    re.M,
)
ITEM = re.compile(r"^(\*{0,2}\w+): ")


class OurSections(griffe.Extension):
    """Turns these sections into markdown: griffe reads types into "Returns:".

    Functions that a class takes for methods lose their `self`.
    """

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            text = obj.docstring.value + "\n"
            obj.docstring.value = SECTION.sub(_as_list, text).rstrip()

    def on_function_instance(self, *, func, **kwargs):
        is_method = getattr(func.parent, "is_class", False)
        if not is_method and "self" in func.parameters:
            del func.parameters["self"]


def _as_list(match):
    title, block = match.groups()
    lines = [line.removeprefix("    ") for line in block.splitlines()]
    if title == "Call arguments":
        lines = [_as_item(line) for line in lines]
    return f"**{title}:**\n\n" + "\n".join(lines).rstrip() + "\n\n"


def _as_item(line):
    """`name: what it is` begins an item, and what is indented goes on."""
    return ITEM.sub(r"- **`\1`** – ", line)
