"""Every public name has a page, made from the code without importing it."""

import pathlib

import api_pages
import pytest

from keras_jest.api_export import PUBLIC_NAMES

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]


def test_no_public_name_is_missing():
    names = api_pages.public_names(ROOT)
    assert [name.public for name in names] == sorted(PUBLIC_NAMES)
    for name in names:
        symbol = PUBLIC_NAMES[name.public]
        assert name.defined == f"{symbol.__module__}.{symbol.__qualname__}"
        assert name.summary.endswith((".", "?"))


def test_each_has_a_page_and_a_place():
    pages, nav = api_pages.api_pages(ROOT), str(api_pages.api_nav(ROOT))
    assert len(pages) == len(PUBLIC_NAMES) + 1
    for path in PUBLIC_NAMES:
        page = f"api/{path}.md"
        assert f"heading: {path}\n" in pages[page]
        assert f"'{page}'" in nav
        assert f"({path}.md)" in pages["api/index.md"]


def test_every_area_has_a_title():
    areas = {path.rpartition(".")[0] for path in PUBLIC_NAMES}
    assert areas == set(api_pages.AREAS)
