import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tar_writer import sample
from tar_writer import write_tar

from keras_jest.data import TarShards
from keras_jest.data.expand_braces import expand_braces
from keras_jest.data.find_shards import find_shards

pytestmark = pytest.mark.once

# Pairs of a pattern and what it means.
LITERALS = st.sampled_from(["a", "0", "", "-", "{}", "{b}", "{0..}", "x.tar"])
LITERALS = LITERALS.map(lambda text: (text, [text]))


@st.composite
def counts(draw):
    """`{003..9..2}` and the numbers that it stands for."""
    # Five such patterns side by side are 7,776 paths.
    first = draw(st.integers(0, 99))
    last = max(0, first + draw(st.integers(-5, 5)))
    step = draw(st.sampled_from([None, 1, 2, 7]))
    width = draw(st.sampled_from([0, 3]))
    numbers, number = [], first
    while min(first, last) <= number <= max(first, last):
        numbers.append(str(number).zfill(width))
        number += (step or 1) * (1 if last >= first else -1)
    ends = f"{str(first).zfill(width)}..{str(last).zfill(width)}"
    return f"{{{ends}{f'..{step}' if step else ''}}}", numbers


def joined(parts):
    """Patterns side by side: each choice with each."""
    pattern, paths = "", [""]
    for part, choices in parts:
        pattern += part
        paths = [path + choice for path in paths for choice in choices]
    return pattern, paths


def chosen(parts):
    """Patterns in braces: all choices of one after the other's."""
    pattern = "{" + ",".join(part for part, _ in parts) + "}"
    return pattern, [choice for _, choices in parts for choice in choices]


PATTERNS = st.recursive(
    LITERALS | counts(),
    lambda inner: (
        st.lists(inner, max_size=3).map(joined)
        | st.lists(inner, min_size=2, max_size=3).map(chosen)
    ),
    max_leaves=5,
)


@given(PATTERNS)
def test_braces_mean_what_they_mean_in_bash(case):
    pattern, paths = case
    assert expand_braces(f"x{pattern}.tar") == [f"x{p}.tar" for p in paths]


def test_braces_of_bash():
    """As bash 5.2 printed them."""
    cases = {
        "{a..e..2}": "a c e",
        "{c..a}": "c b a",
        "{-01..1}": "-01 000 001",
        "{1,{2..3}x}": "1 2x 3x",
        "{{a,b},c}d": "ad bd cd",
        "{a{1,2}": "{a1 {a2",
        "{1..3..0}": "1 2 3",
        "{5..1..-2}": "5 3 1",
        "{a}{,b}": "{a} {a}b",
    }
    for pattern, paths in cases.items():
        assert expand_braces(pattern) == paths.split()
    with pytest.raises(ValueError, match="1000000"):
        expand_braces("{0..9999999999}")
    with pytest.raises(ValueError, match="1000000"):
        expand_braces("{0..9999}{0..9999}")


def found(paths, folder):
    return [path.removeprefix(f"{folder}/") for path in find_shards(paths)]


def test_braces_find_shards_in_their_order(tmp_path):
    for folder in ("train", "test", "{odd,name}"):
        (tmp_path / folder).mkdir()
        for number in range(4):
            write_tar(tmp_path / folder / f"{number:03}.tar", sample(number))
    braces = str(tmp_path / "{train,test}/{000..003..2}.tar")
    expected = ["train/000", "train/002", "test/000", "test/002"]
    assert found(braces, tmp_path) == [f"{path}.tar" for path in expected]
    texts = [record["text"] for record in TarShards(braces, verbose=0)]
    assert texts == ["caption 0", "caption 2"] * 2
    stars = str(tmp_path / "{test,train}/*[13].tar")
    expected = ["test/001", "test/003", "train/001", "train/003"]
    assert found(stars, tmp_path) == [f"{path}.tar" for path in expected]
    # A path that is there is that, whatever is in its name.
    odd = str(tmp_path / "{odd,name}")
    assert len(found(odd, tmp_path)) == 4
    assert found(f"{odd}/003.tar", tmp_path) == ["{odd,name}/003.tar"]
    assert len(found(f"{odd}/*.tar", tmp_path)) == 4


def test_a_choice_that_is_missing_is_told(tmp_path):
    for number in (0, 2):
        write_tar(tmp_path / f"{number:03}.tar", sample(number))
    with pytest.raises(ValueError, match=r"2 of 4 are missing: .*001.tar'"):
        find_shards(str(tmp_path / "{000..003}.tar"))
    with pytest.raises(ValueError, match="none_here"):
        find_shards(str(tmp_path / "none_here.tar"))


def test_a_folder_has_shards_of_all_kinds_and_each_once(tmp_path):
    names = ["a.tar", "a.tar.gz", "b.tgz", "c.TAR", "d.tar.xz", "d.tar.bz2"]
    names += ["e.tar.zst", "._a.tar", "a.parquet", "a_stats.json", "tar"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    expected = ["a.tar", "b.tgz", "c.TAR", "d.tar.bz2", "e.tar.zst"]
    assert found(tmp_path, tmp_path) == expected
    listed = [tmp_path / "a.tar.gz", tmp_path / "a.tar", tmp_path / "tar"]
    assert found(listed, tmp_path) == ["a.tar", "tar"]
    assert found(tmp_path / "a.tar.gz", tmp_path) == ["a.tar.gz"]


def test_a_packed_shard_beside_its_copy_is_read_once(tmp_path):
    path = write_tar(tmp_path / "0.tar", sample(0))
    (tmp_path / "0.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert len(TarShards(tmp_path, verbose=0, max_bad_share=0)) == 1
