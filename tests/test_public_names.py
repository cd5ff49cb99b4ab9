"""A public name never appears, moves or vanishes by accident."""

import importlib
import pathlib

import pytest

import keras_jest  # noqa: F401
from keras_jest.api_export import PUBLIC_NAMES

pytestmark = pytest.mark.once

LISTED = pathlib.Path(__file__).with_name("public_names.txt")


def test_public_names_are_those_of_the_list():
    assert sorted(PUBLIC_NAMES) == LISTED.read_text().split()


@pytest.mark.parametrize("path", sorted(PUBLIC_NAMES))
def test_a_public_name_is_where_it_says(path):
    folder, name = path.rsplit(".", 1)
    assert getattr(importlib.import_module(folder), name) is PUBLIC_NAMES[path]
