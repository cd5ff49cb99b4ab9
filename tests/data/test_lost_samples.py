import pathlib
import tempfile

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tar_writer import sample
from tar_writer import write_tar

from keras_jest.data import TarShards

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:TarShards skips"),
]

NUM_SAMPLES = 20
# A header and a block for each of two members.
BYTES = 4 * 512
HTML = b"<html><h1>503 Service Unavailable</h1></html>"


def damaged(data, damage, place, length):
    """The bytes of a shard, some of them gone."""
    start, end = place * 512, min(place + length, (NUM_SAMPLES - 1) * 4) * 512
    hole = slice(start, max(start, end))
    size = hole.stop - hole.start
    whole = bytearray(data)
    whole[hole] = bytes(size) if damage == "zeros" else b"~" * size
    return {
        "none": data,
        "cut": data[: start + 100],
        "html": HTML * (place + 1),
        "empty": b"",
        "zeros": bytes(whole),
        "garbage": bytes(whole),
    }[damage]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["none", "cut", "html", "empty", "zeros", "garbage"]
            ),
            st.integers(0, (NUM_SAMPLES - 1) * 4),
            st.integers(0, 60),
        ),
        max_size=4,
    )
)
def test_what_a_shard_must_have_held_is_counted(damages):
    """Beside a whole shard; samples of one size, so that it is exact."""
    members = [m for number in range(NUM_SAMPLES) for m in sample(number)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        whole = write_tar(folder / "0.tar", members).read_bytes()
        for number, damage in enumerate(damages, 1):
            data = damaged(whole, *damage)
            (folder / f"{number}.tar").write_bytes(data)
        records = TarShards(folder, max_bad_share=1, verbose=0)
        total = NUM_SAMPLES * (1 + len(damages))
        lost = sum(records.lost.values())
        seen = len(records) + len(records.bad) + lost
        # A hole may begin and end within a sample, a torn one counts.
        holes = [d for d, _, _ in damages if d in ("zeros", "garbage")]
        assert total - len(holes) <= seen <= total + len(holes)
        share = (len(records.bad) + lost) / seen
        if share > 0.05:
            with pytest.raises(ValueError, match="bad samples of"):
                TarShards(folder, verbose=0)
        else:
            assert len(TarShards(folder, verbose=0)) == len(records)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, NUM_SAMPLES * BYTES - 1), st.integers(1, 255)),
        max_size=20,
    )
)
def test_flipped_bytes_never_lose_more_than_is_counted(flips):
    members = [m for number in range(NUM_SAMPLES) for m in sample(number)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = bytearray(write_tar(folder / "0.tar", members).read_bytes())
        for place, change in flips:
            data[place] ^= change
        (folder / "1.tar").write_bytes(data)
        records = TarShards(folder, max_bad_share=1, verbose=0)
        counted = len(records.bad) + sum(records.lost.values())
        assert len(records) + counted >= 2 * NUM_SAMPLES


@pytest.mark.parametrize(
    "remains", [b"", HTML * 50, HTML, bytes(10_240), "quarter"]
)
@pytest.mark.parametrize("num_whole", [0, 1])
def test_nine_of_ten_lost_shards_are_an_error(tmp_path, remains, num_whole):
    members = [m for number in range(NUM_SAMPLES) for m in sample(number)]
    for number in range(10):
        path = write_tar(tmp_path / f"{number}.tar", members)
        if number >= num_whole:
            data = path.read_bytes()
            quarter = data[: len(data) // 4 + 5]
            path.write_bytes(quarter if remains == "quarter" else remains)
    with pytest.raises(ValueError, match="bad or lost"):
        TarShards(tmp_path, verbose=0)
    with pytest.raises(ValueError, match="bad or lost"):
        TarShards(tmp_path / "9.tar", verbose=0)


def test_a_shard_of_nothing_but_foreign_members_is_empty(tmp_path):
    write_tar(tmp_path / "0.tar", [(".DS_Store", b"x"), ("README", b"x")])
    records = TarShards(tmp_path, max_bad_share=1, verbose=0)
    assert records.bad == [("empty_shard", "0.tar", "")]
    assert records.foreign_counts == {"hidden": 1, "side_file": 1}


def test_a_flipped_header_costs_one_picture_and_counts_one(tmp_path):
    members = [m for number in range(NUM_SAMPLES) for m in sample(number)]
    path = write_tar(tmp_path / "0.tar", members)
    whole = path.read_bytes()
    for header in range(0, NUM_SAMPLES * BYTES, 1024):
        data = bytearray(whole)
        data[header + 148] ^= 1
        path.write_bytes(data)
        records = TarShards(path, verbose=0)
        key = f"s{header // BYTES}"
        assert records.bad == [("broken_header", "0.tar", key)]
        assert len(records) == NUM_SAMPLES - 1 and not records.lost
