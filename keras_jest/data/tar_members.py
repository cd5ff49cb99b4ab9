"""Walks the headers of a tar file; bears any bytes and unpacks nothing."""

import tarfile
from typing import NamedTuple

BLOCK = 512
MAX_EXTENDED_HEADER = 2**20
# Two blocks of zeros end an archive, which is filled up to 20.
MAX_END_BLOCKS = 22
LONG_NAME = tarfile.GNUTYPE_LONGNAME
PAX_HEADERS = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
PLAIN_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
NO_DATA = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)
# A folder, GNU's list of what is in one, and the label of an archive.
FOLDERS = (tarfile.DIRTYPE, b"D", b"V")
EXTENDED_HEADERS = (
    LONG_NAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XGLTYPE,
    *PAX_HEADERS,
)


class TarMember(NamedTuple):
    """A file in a tar: where its bytes lie, or why they are not to be read.

    A fault of the archive itself, not of one file, has an empty name. A hole
    is a run of bytes, with the fault, that may have held other members.
    """

    name: str
    offset: int = 0
    size: int = 0
    fault: str | None = None
    hole: int = 0


def tar_members(file, num_bytes):
    """Yield the files of an uncompressed tar in the order in which they lie.

    After bytes that are no header the search goes on at the next block that
    is one, so that a flipped bit costs a sample and not the rest of the
    shard. (`tarfile` would stop there, and in Python before 3.11.14 some
    headers make it loop for ever; here every step moves forward.)

    Args:
        file: A binary file that can seek.
        num_bytes: int. Its size.

    Yields:
        `TarMember`s; folders are left out. Faults: `"broken_header"`,
        `"zeroed_blocks"`, `"truncated_shard"`, `"unreadable_shard"` (no
        bytes), `"link"`, `"not_a_file"`.
    """
    if num_bytes == 0:
        yield TarMember("", fault="unreadable_shard")
    position, overrides, cut = 0, {}, None
    while position < num_bytes:
        header, position, fault, hole = find_header(
            file, position, num_bytes, lost=cut is not None
        )
        if cut:
            # If its size is wrong instead, more members follow.
            yield cut._replace(hole=hole if header else 0)
        elif fault:
            yield TarMember("", fault=fault, hole=hole)
            overrides = {}
        if header is None:
            return
        member, cut = as_member(header, position, overrides), None
        if position + member.size > num_bytes:
            cut, overrides = member._replace(fault="truncated_shard"), {}
            continue
        if header.type in EXTENDED_HEADERS:
            overrides |= extended_header(file, member, header.type)
        else:
            overrides = {}
            if not is_folder(header):
                yield member
        position += padded(member.size)
    if num_bytes:
        yield cut or TarMember("", fault="truncated_shard")


def find_header(file, position, num_bytes, lost):
    """Return the next header, its end, what is wrong before it and how long.

    `lost`: whether the position may lie within the bytes of a file.
    """
    start, garbage, zeros_from = position, lost, position
    while position + BLOCK <= num_bytes:
        block = read_at(file, position, BLOCK)
        position += BLOCK
        if not any(block):
            continue
        header = parse_header(block, needs_magic=garbage)
        if header:
            hole = position - BLOCK - start
            between = "zeroed_blocks" if hole else None
            fault = "broken_header" if garbage else between
            return header, position, fault, hole
        garbage, zeros_from = True, position
    long = position - zeros_from > MAX_END_BLOCKS * BLOCK
    hole = (position if long else zeros_from) - start
    if garbage:
        return None, position, "broken_header", hole
    if position == start:
        return None, position, "truncated_shard", num_bytes - start
    return None, position, "zeroed_blocks" if long else None, hole


def padded(size):
    """Return how many bytes a file takes up in a tar."""
    return -(-size // BLOCK) * BLOCK


def is_folder(header):
    """Return whether a header is that of a folder or of the whole archive."""
    old = header.type == tarfile.AREGTYPE and header.name.endswith("/")
    return old or header.type in FOLDERS


def read_at(file, offset, size):
    """Return `size` bytes from `offset` on, fewer at the end of the file."""
    file.seek(offset)
    return file.read(size)


class Header(NamedTuple):
    """What is needed of a header block."""

    name: str
    size: int
    type: bytes


def parse_header(block, needs_magic):
    """Return a block as a `Header`, or None if it is none."""
    magic = block[257:263]
    if needs_magic and magic[:5] != b"ustar":
        return None
    try:
        if header_checksum(block) != read_number(block[148:156]):
            return None
        size = read_number(block[124:136])
    except ValueError:
        return None
    if size < 0:
        return None
    name, prefix = read_text(block[:100]), read_text(block[345:500])
    if prefix and magic == b"ustar\0":
        name = f"{prefix}/{name}"
    return Header(name, size, block[156:157])


def header_checksum(block):
    """Return the sum of a header's bytes, the checksum's own as spaces."""
    return sum(block) - sum(block[148:156]) + 8 * ord(" ")


def read_text(field):
    """Return the text before the first zero byte."""
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def read_number(field):
    """Return a number in octal digits or, if it is large, in base 256."""
    if field[0] == 0o200:
        return int.from_bytes(field[1:], "big")
    return int(field.partition(b"\0")[0].strip() or b"0", 8)


def as_member(header, offset, overrides):
    """Return the member that a header and what stood before it describe."""
    has_data = header.type not in NO_DATA
    return TarMember(
        name=overrides.get("path", header.name),
        offset=offset,
        size=overrides.get("size", header.size) if has_data else 0,
        fault=overrides.get("fault", type_fault(header.type)),
    )


def type_fault(type):
    """Return why a member is no plain file, or None."""
    if type in (tarfile.LNKTYPE, tarfile.SYMTYPE):
        return "link"
    return None if type in PLAIN_FILES else "not_a_file"


def extended_header(file, member, type):
    """Return what an extended header says about the next member.

    A name or size that cannot be read is a fault of that member: without it
    a wrong name or the wrong bytes would pass for sound ones.
    """
    if type != LONG_NAME and type not in PAX_HEADERS:
        return {}
    if member.size > MAX_EXTENDED_HEADER:
        return {"fault": "broken_header"}
    data = read_at(file, member.offset, member.size)
    if type == LONG_NAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "backslashreplace")}
    try:
        return pax_overrides(data)
    except ValueError:
        return {"fault": "broken_header"}


def pax_overrides(data):
    """Return name and size from the `"length key=value\\n"` lines of pax."""
    overrides, start = {}, 0
    while start < len(data):
        space = data.index(b" ", start, start + 20)
        end = start + int(data[start:space])
        if end <= space or data[end - 1 : end] != b"\n":
            raise ValueError("a line of another length than it says")
        key, _, value = data[space + 1 : end - 1].partition(b"=")
        if key == b"path":
            overrides["path"] = value.decode("utf-8", "backslashreplace")
        elif key == b"size":
            overrides["size"] = int(value)
        elif key.startswith(b"GNU.sparse"):
            overrides["fault"] = "not_a_file"
        start = end
    if overrides.get("size", 0) < 0:
        raise ValueError("a negative size")
    return overrides
