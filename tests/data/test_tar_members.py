import io
import tarfile

import pytest
from tar_writer import link
from tar_writer import picture
from tar_writer import sample
from tar_writer import write_tar

from keras_jest.data.tar_members import BLOCK
from keras_jest.data.tar_members import tar_members

pytestmark = pytest.mark.once

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
LONG = "folder/" + "x" * 150 + "é.txt"


def members_of(data):
    return list(tar_members(io.BytesIO(data), len(data)))


def faults_of(data):
    return [member.fault for member in members_of(data) if member.fault]


@pytest.fixture
def sound(tmp_path):
    """A tar of three samples of two members each, as bytes."""
    members = [member for number in range(3) for member in sample(number)]
    return write_tar(tmp_path / "sound.tar", members).read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_members_lie_where_tarfile_says(tmp_path, format):
    names = ["a.txt", "folder/b.txt", "./c.txt", "d"]
    if format != tarfile.USTAR_FORMAT:
        names.append(LONG)
    contents = [(name, name.encode() * 99) for name in names]
    path = write_tar(tmp_path / "x.tar", contents, format)
    with tarfile.open(path) as tar:
        expected = [(m.name, m.offset_data, m.size) for m in tar]
    found = members_of(path.read_bytes())
    assert [member[:3] for member in found] == expected
    assert not any(member.fault for member in found)


def test_folders_are_left_out_and_links_are_faults(tmp_path):
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    label = tarfile.TarInfo("of the whole archive")
    label.type = b"V"
    pipe = tarfile.TarInfo("pipe")
    pipe.type = tarfile.FIFOTYPE
    links = [link("a", "b"), link("c", "d", tarfile.LNKTYPE)]
    path = write_tar(tmp_path / "x.tar", [label, folder, pipe, *links])
    found = [(m.name, m.fault) for m in members_of(path.read_bytes())]
    assert found == [("pipe", "not_a_file"), ("a", "link"), ("c", "link")]


def test_no_bytes_are_an_unreadable_shard():
    assert faults_of(b"") == ["unreadable_shard"]


@pytest.mark.parametrize("data", [b"x", b"gz" * 999, b"\1" * 4096])
def test_other_bytes_are_one_fault(data):
    assert len(faults_of(data)) == 1


def test_a_flipped_byte_of_any_header_costs_one_member(sound):
    whole = members_of(sound)
    for member in whole:
        start = member.offset - BLOCK
        # Bytes 500 to 511 fill the block and are in the checksum too.
        for place in (0, 100, 124, 135, 148, 156, 257, 345, 500, 511):
            data = bytearray(sound)
            data[start + place] ^= 0x41
            found = members_of(bytes(data))
            rest = [other for other in whole if other != member]
            assert [m for m in found if not m.fault] == rest
            assert [m.fault for m in found if m.fault] == ["broken_header"]


def test_a_cut_anywhere_is_a_fault(sound):
    whole = members_of(sound)
    end = whole[-1].offset + BLOCK
    for length in range(1, end, 100):
        found = members_of(sound[:length])
        read = [m for m in found if not m.fault]
        assert read == [m for m in whole if m.offset + m.size <= length]
        assert len(read) < len(found)
    assert not faults_of(sound[: end + 2 * BLOCK])


def test_a_hole_of_zeros_is_a_fault(sound):
    second = members_of(sound)[2].offset - BLOCK
    third = members_of(sound)[4].offset - BLOCK
    hole = sound[:second] + bytes(third - second) + sound[third:]
    (fault,) = [member for member in members_of(hole) if member.fault]
    assert fault.fault == "zeroed_blocks" and fault.hole == third - second
    assert faults_of(sound[:second] + bytes(50 * BLOCK)) == ["zeroed_blocks"]


def test_a_wrong_size_does_not_hide_what_follows(sound):
    member = members_of(sound)[2]
    header = bytearray(sound[member.offset - BLOCK : member.offset])
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    start = member.offset - BLOCK
    data = sound[:start] + bytes(header) + sound[member.offset :]
    found = members_of(data)
    assert [m.name for m in found if m.fault] == ["s1.png"]
    assert len([m for m in found if not m.fault]) == 5


@pytest.mark.parametrize(
    "pax",
    [b"9999 path=a\n", b"x path=a\n", b"-5 path=a\n", b"path", b"11 size=-1\n"],
)
def test_a_broken_extended_header_makes_the_next_member_bad(tmp_path, pax):
    info = ("name.png", picture())
    path = write_tar(tmp_path / "x.tar", [("pax", pax), info, ("b", b"b")])
    data = bytearray(path.read_bytes())
    data[156:157] = tarfile.XHDTYPE
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:BLOCK])
    found = [(m.name, m.fault) for m in members_of(bytes(data))]
    assert found == [("name.png", "broken_header"), ("b", None)]
