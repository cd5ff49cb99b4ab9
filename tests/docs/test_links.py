"""Links between files of the repository lead to files of it."""

import pathlib
import re

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    of.relative_to(ROOT).as_posix()
    for of in (*ROOT.glob("*.md"), *ROOT.glob("*/*.md"))
    if not of.relative_to(ROOT).parts[0].startswith(".")
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    links = LINK.findall((ROOT / page).read_text("utf-8"))
    lost = [
        of for of in links if "://" not in of and not (folder / of).exists()
    ]
    assert not lost, f"{page} links to {lost}, which are not in the repository"
