import pathlib
import tarfile
import tempfile

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tar_writer import picture
from tar_writer import sample
from tar_writer import write_tar

from keras_jest.data import TarShards

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:TarShards skips"),
]

FOREIGN = {
    "._s0.png": "hidden",
    "./folder/.DS_Store": "hidden",
    ".s0.png": "hidden",
    "__MACOSX/s0.png": "system",
    "__MACOSX/folder/._s0.txt": "system",
    "@eaDir/s0.png/SYNOPHOTO_THUMB_M.png": "system",
    "PaxHeaders.4711/s0.png": "system",
    ".ipynb_checkpoints/s0.txt": "system",
    "$RECYCLE.BIN/s1.png": "system",
    "Thumbs.db": "system",
    "desktop.ini": "system",
    "Icon\r": "system",
    "__meta__": "system",
    "README": "side_file",
    "readme.txt": "side_file",
    "folder/LICENSE.md": "side_file",
    "00000_stats.json": "side_file",
    "shard.sha256": "side_file",
    "index.csv": "side_file",
}


def read(members, **arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(pathlib.Path(folder, "x.tar"), members)
        records = TarShards(
            path, **{"max_bad_share": 1.0, "verbose": 0} | arguments
        )
        return records, [record["text"] for record in records]


def folder_member(name):
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from([*FOREIGN, "folder/"])),
        max_size=8,
        unique_by=lambda item: item[1],
    )
)
def test_foreign_members_part_no_pair_and_are_not_bad(strangers):
    members = []
    for number in range(6):
        members += sample(number)
    for place, name in sorted(strangers, reverse=True):
        is_folder = name == "folder/"
        member = folder_member(name) if is_folder else (name, picture())
        members.insert(place, member)
    records, texts = read(members, max_bad_share=0)
    assert texts == [f"caption {number}" for number in range(6)]
    kinds = [FOREIGN[name] for _, name in strangers if name in FOREIGN]
    assert records.foreign_counts == {k: kinds.count(k) for k in {*kinds}}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.booleans(),
            st.sampled_from(
                ["missing_image", "missing_caption", "undecodable_image"]
            ),
        ),
        unique_by=lambda item: item[0],
    )
)
def test_of_one_key_the_whole_sample_is_kept(incomplete):
    """Whichever comes first; the other is counted as what it is."""
    before, after = [("x.png", picture()), ("x.txt", b"x")], []
    after += [("y.png", picture()), ("y.txt", b"y")]
    for number, is_first, kind in incomplete:
        image, text = sample(number)
        text = (text[0], b"another text")
        broken = (image[0], b"noise")
        copy = {
            "missing_image": [text],
            "missing_caption": [image],
            "undecodable_image": [broken, text],
        }[kind]
        if is_first:
            before = copy + before
        else:
            after += copy
    whole = [member for number in range(6) for member in sample(number)]
    records, texts = read(before + whole + after)
    expected = [f"caption {number}" for number in range(6)]
    assert texts == ["x", *expected, "y"]
    # A whole copy takes no place; that it is bad, too, needs no decoding.
    kinds = [
        kind if is_first or kind != "undecodable_image" else "duplicate_key"
        for _, is_first, kind in incomplete
    ]
    assert records.bad_counts == {kind: kinds.count(kind) for kind in {*kinds}}


def test_plain_names_that_look_foreign_are_samples():
    members = []
    for key in ("license", "a/.cache/b", "readme", "Notice"):
        members += [(f"{key}.txt", key.encode()), (f"{key}.webp", b"")]
    members = [(n, picture(format="WEBP") if not d else d) for n, d in members]
    _, texts = read(members, max_bad_share=0)
    assert texts == ["license", "a/.cache/b", "readme", "Notice"]


def test_members_that_are_no_neighbours_are_counted_once():
    members = [member for number in range(9) for member in sample(number)]
    members.sort(key=lambda member: member[0].rpartition(".")[2])
    with pytest.raises(ValueError, match="9 bad samples of 9.*sort by name"):
        read(members, max_bad_share=0.5)
    apart = [*sample(0), *sample(1), ("s0.json", b"{}")]
    records, texts = read(apart)
    assert records.bad == [("unsorted", "x.tar", "s0")] and len(texts) == 2
