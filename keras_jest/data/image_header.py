"""What a JPEG, PNG or WebP file claims, read without decoding it.

Pillow decodes a picture only after this: it would keep all metadata, and
expand some (64 kB of compressed text in a PNG take 250 MB), before the size of
the picture can be looked at.
"""

from typing import NamedTuple

MAX_SEGMENTS = 2**16
# What JPEG can say. A longer line would take much memory when resized.
MAX_SIDE = 2**16 - 1
MAX_PALETTE_BYTES = 2**10
BYTES_PER_PIXEL = 4  # Pillow's, for more than one channel.

START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
# JFIF's and Adobe's application data say how colours are stored.
METADATA = {*range(0xE1, 0xF0), 0xFE} - {0xEE}
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


class ImageHeader(NamedTuple):
    """The claims of a file.

    `buffer_bytes` is what the decoder takes beside the pixels. `scales` are
    the factors by which the format can be decoded at reduced size. `spans` are
    the `(offset, size)` of what the pixels depend on, `orientations` the
    `(kind, offset, size)` of what may say how the picture stands.
    """

    format: str
    size: tuple[int, int]
    bytes_per_pixel: int
    buffer_bytes: int
    scales: tuple
    spans: list
    orientations: list

    def decoded_bytes(self, scale):
        """Return how much memory it takes to decode it, reduced by `scale`."""
        width, height = (-(-side // scale) for side in self.size)
        return self.bytes_per_pixel * width * height + self.buffer_bytes


def read_header(file, num_bytes):
    """Return the `ImageHeader` of a binary file of that size.

    Raises:
        ValueError: It is none of the formats, or broken before its pixels.
    """
    file.seek(0)
    start = file.read(16)
    if start.startswith(b"\xff\xd8\xff"):
        return read_jpeg(file, num_bytes)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return read_png(file)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return read_webp(file, num_bytes)
    raise ValueError("another format")


def read_jpeg(file, num_bytes):
    """Read the segments of a JPEG up to its first scan."""
    spans, orientations, frame, position = [(0, 2)], [], None, 2
    for _ in range(MAX_SEGMENTS):
        marker, start = find_marker(file, position)
        if marker in WITHOUT_LENGTH:
            position = start
            continue
        length = int.from_bytes(file.read(2), "big")
        if length < 2:
            raise ValueError("a JPEG segment without length")
        position = start + length
        if marker == START_OF_SCAN and frame:
            scan_components = file.read(1)
            add_span(spans, start - 2, num_bytes - start + 2)
            parts = spans, orientations
            return as_jpeg(*frame, scan_components, start, parts)
        if marker in START_OF_FRAME and not frame:
            frame = marker, file.read(length - 2)
        elif marker in START_OF_FRAME or marker in (
            START_OF_SCAN,
            END_OF_IMAGE,
        ):
            raise ValueError("a JPEG with two frames or none")
        if marker in METADATA:
            orientations.append(("app", start + 2, length - 2))
        else:
            add_span(spans, start - 2, length + 2)
    raise ValueError("too many segments")


def find_marker(file, position):
    """Return the next marker of a JPEG and where it ends."""
    file.seek(position)
    while byte := file.read(1):
        found = byte == b"\xff"
        while byte == b"\xff":
            byte = file.read(1)
        if found and byte not in (b"", b"\0"):
            return byte[0], file.tell()
    raise ValueError("a JPEG that ends in its header")


def as_jpeg(marker, frame, scan_components, header_bytes, parts):
    """Return the header of a JPEG from its frame segment.

    Pillow keeps what comes before the first scan: `header_bytes`.
    """
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    samplings = [(b >> 4, b & 15) for b in frame[7 : 6 + 3 * frame[5] : 3]]
    if not samplings or not all(h and v for h, v in samplings):
        raise ValueError("a JPEG without components")
    largest_h = max(h for h, _ in samplings)
    largest_v = max(v for _, v in samplings)
    # Whole blocks of 8 x 8 samples of the largest components.
    padded_width = -(-width // (8 * largest_h)) * 8 * largest_h
    padded_height = -(-height // (8 * largest_v)) * 8 * largest_v
    samples = sum(h * v for h, v in samplings) / (largest_h * largest_v)
    buffered_lines = 64
    if marker in PROGRESSIVE or scan_components != frame[5:6]:
        # All coefficients are kept, of 2 bytes (lossless: of 4).
        buffered_lines += padded_height * (4 if marker in LOSSLESS else 2)
    return ImageHeader(
        "JPEG",
        (width, height),
        1 if len(samplings) == 1 else BYTES_PER_PIXEL,
        int(buffered_lines * padded_width * samples) + header_bytes,
        (1,) if marker in LOSSLESS else (1, 2, 4, 8),
        *parts,
    )


def read_png(file):
    """Read the chunks of a PNG to its end."""
    spans, orientations, header, position = [(0, 8)], [], b"", 8
    for _ in range(MAX_SEGMENTS):
        file.seek(position)
        start = file.read(8)
        length, name = int.from_bytes(start[:4], "big"), start[4:]
        if not name.isalnum() or len(name) < 4:
            break
        if name in PNG_CHUNKS:
            if header and name == b"IHDR":
                raise ValueError("a PNG with two headers")
            if name != b"IDAT" and length > MAX_PALETTE_BYTES:
                raise ValueError(f"a chunk {name} of {length} bytes")
            if name == b"IHDR":
                header = file.read(length)
            add_span(spans, position, length + 12)
        elif name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            orientations.append((name.decode(), position + 8, length))
        position += length + 12
        if name == b"IEND":
            break
    else:
        raise ValueError("too many chunks")
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    one_channel = header[9:10] in (b"\0", b"\3")
    if one_channel:
        bytes_per_pixel = 2 if header[8] == 16 else 1
    else:
        bytes_per_pixel = BYTES_PER_PIXEL
    return ImageHeader(
        "PNG",
        (width, height),
        bytes_per_pixel,
        32 * min(width, MAX_SIDE),
        (1,),
        spans,
        orientations,
    )


def read_webp(file, num_bytes):
    """Read the first chunk of a WebP, and where its metadata are."""
    file.seek(12)
    name, start = file.read(4), file.read(14)[4:]
    if name == b"VP8 ":
        size = [int.from_bytes(start[i : i + 2], "little") for i in (6, 8)]
        width, height = (side & 0x3FFF for side in size)
    elif name == b"VP8L":
        bits = int.from_bytes(start[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width = int.from_bytes(start[4:7], "little") + 1
        height = int.from_bytes(start[7:10], "little") + 1
    return ImageHeader(
        "WEBP",
        (width, height),
        BYTES_PER_PIXEL,
        # Two canvases and a frame that is handed over; the file, copied.
        3 * BYTES_PER_PIXEL * width * height + 4 * num_bytes,
        (1,),
        [(0, num_bytes)],
        webp_metadata(file) if name == b"VP8X" else [],
    )


def webp_metadata(file):
    """Return where the EXIF data and XMP of a WebP are."""
    found, position = [], 12
    for _ in range(MAX_SEGMENTS):
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:
            break
        name, length = start[:4], int.from_bytes(start[4:], "little")
        if name in (b"EXIF", b"XMP "):
            found.append((name.decode(), position + 8, length))
        position += 8 + length + length % 2
    return found


def add_span(spans, offset, size):
    """Add a span, to the last one if it begins where that ends."""
    last_offset, last_size = spans[-1]
    if last_offset + last_size == offset:
        spans[-1] = (last_offset, last_size + size)
    else:
        spans.append((offset, size))
