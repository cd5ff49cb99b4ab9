"""A file is replaced when the new one is whole, and not before."""

import os

import numpy as np
import pytest

from keras_jest.data import Tokenizer
from keras_jest.data import export_subset
from keras_jest.data.whole_file import whole_file

pytestmark = pytest.mark.once


def test_what_fails_leaves_the_older_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"older")
    with pytest.raises(OSError, match="no space"), whole_file(path) as file:
        file.write(b"new")
        raise OSError("no space")
    assert path.read_bytes() == b"older"
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"older"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_links_and_pipes_stay(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.touch()
    link.symlink_to(path)
    with whole_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    with whole_file("/dev/null") as file:
        file.write(b"new")
    assert not os.path.isfile("/dev/null")


class NoSpace(Exception):
    pass


def no_space(*_, **__):
    raise NoSpace


def test_a_subset_and_a_tokenizer_survive(tmp_path, monkeypatch):
    """What the package writes, at a full disk."""
    log = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").table(
        {"step": np.zeros(2, "int32"), "key": ["0" * 32, "f" * 32]}
    )
    log.write_table(table, tmp_path / "log.parquet")
    tokenizer = Tokenizer.train(["a cat", "a dog"], 270)
    subset, vocabulary = tmp_path / "subset.npy", tmp_path / "tokenizer.json"
    export_subset(tmp_path / "log.parquet", tmp_path / "subset")
    tokenizer.save(vocabulary)
    older = subset.read_bytes(), vocabulary.read_bytes()
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(NoSpace):
        export_subset(tmp_path / "log.parquet", subset, min_count=2)
    with pytest.raises(NoSpace):
        Tokenizer.train(["a bird"], 270).save(vocabulary)
    assert (subset.read_bytes(), vocabulary.read_bytes()) == older
    assert Tokenizer(vocabulary, 4)(["a dog"]).tolist()
