"""A CSV or parquet file of pictures and captions, as records."""

import glob
import os
from collections.abc import Sequence

from keras_jest.api_export import keras_jest_export
from keras_jest.data.checked_records import CheckedRecords
from keras_jest.data.identity import KEY
from keras_jest.data.table_files import PARQUET
from keras_jest.data.table_files import TableFiles
from keras_jest.data.table_source import TableSource
from keras_jest.types import StrPath


@keras_jest_export("keras_jest.data.CaptionTable")
class CaptionTable(CheckedRecords):
    """Reads a table of pictures and captions as a sequence of records.

    A CSV file (separated by commas, tabs, semicolons or bars, with a row of
    names; in UTF-8, or UTF-16 with a byte order mark), or parquet files. The
    pictures are paths of JPEG, PNG or WebP files, or, in parquet, the bytes
    of such files or structs of `bytes` and `path`, as `datasets` writes them.
    The other columns are the `"json"` of a record.

    Every row is checked once, as the samples of `TarShards` are: the caption,
    and the picture decoded to its last pixel. What is bad is skipped and
    listed in `bad`, with a warning. The kinds: `missing_image` (no path, or
    no such file), `remote_image` (an address), `not_a_file`,
    `unreadable_file`, `undecodable_image`, `image_too_large`,
    `too_many_pixels`, `missing_caption` (null), `empty_caption`,
    `caption_not_utf8`, `caption_too_long`, `duplicate_key` (the same picture
    with the same caption; the first is kept), `bad_row` (a row of a CSV file
    with another number of columns). Pictures are read again when a record is
    asked for; nothing of them is kept in memory.

    A record's `"key"` is the path of its picture within the folder, so that
    equal names in two folders are two keys, and none changes when table and
    pictures are moved together. If a picture has several captions, each row
    is a record, whose key ends in `#` and a digest of the caption. Bytes
    without a path are known by a digest of picture and caption. So the order
    of rows means nothing.

    Args:
        path: str, path, a pattern with stars, or a list of them. A parquet
            file by its name (`.parquet`), all else is CSV.
        image: str or `None`. The column of the pictures; `None` is the one
            that is called `image`, `filepath`, `file_name`, `filename`,
            `image_path`, `image_file`, `path`, `img` or `jpg`.
        caption: str or `None`. The column of the captions; `None` is the one
            that is called `caption`, `text`, `title`, `txt` or `prompt`.
        folder: str, path or `None`. Where relative paths begin; `None` is the
            folder of the table.
        max_bad_share: float in [0, 1]. More bad rows than this share are an
            error.
        index_path: str or path of a file (`.npz`, no pickle) that keeps what
            the check found. It is made if missing and made again if a file's
            size or time has changed. The columns are laid out beside it, in
            `<index_path>.arrow`, and mapped: parquet files of more than 1 GiB
            need it.
        verbose: 0 or 1. Whether to show a progress bar over the rows.
        identity: str. What a record is known by, to logs of runs, replays and
            stores of references: `"key"`, or a column, such as `"uid"`, with
            a text or a number in each row, each another.
        check_pixels: bool. Whether each picture is read and decoded once.
            `False` opens quickly: of a picture only its size is asked for,
            and one that cannot be decoded ends the run that comes upon it.

    Raises:
        ValueError: There is no such file, column or row, more than
            `max_bad_share` is bad, a large parquet file has no `index_path`,
            or records have no `identity` or share one.

    Example:

    ```python
    import pathlib, tempfile
    from PIL import Image
    from keras_jest.data import CaptionTable

    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (8, 8), "red").save(pathlib.Path(folder, "0.png"))
        table = pathlib.Path(folder, "pairs.csv")
        table.write_text("filepath,title\\n0.png,a red square\\n")
        records = CaptionTable(table, verbose=0)
        records[0]["text"]  # "a red square"
    ```
    """

    def __init__(
        self,
        path: StrPath | Sequence[StrPath],
        image: str | None = None,
        caption: str | None = None,
        folder: StrPath | None = None,
        max_bad_share: float = 0.05,
        index_path: StrPath | None = None,
        verbose: int = 1,
        identity: str = KEY,
        check_pixels: bool = True,
    ) -> None:
        paths = find_tables(path)
        if folder is None:
            folder = folder_of(paths)
        source = TableSource(
            TableFiles(paths, index_path),
            os.path.basename(paths[0]),
            image,
            caption,
            identity,
            os.path.abspath(folder),
        )
        super().__init__(
            source, max_bad_share, index_path, verbose, identity, check_pixels
        )


def find_tables(path):
    """Return the files that a path, a pattern or a list of them means."""
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    found = []
    for of in map(os.fspath, paths):
        files = [of] if os.path.lexists(of) else sorted(glob.glob(of))
        if not files or not all(map(os.path.isfile, files)):
            raise ValueError(
                "Expected a CSV or parquet file, or a pattern with stars that "
                "matches some. Pictures with side texts in a folder are read "
                f"by `CaptionedFolder`. Received: {of!r}"
                f"{', a folder' if os.path.isdir(of) else ', which is none'}"
            )
        found += map(os.path.abspath, files)
    found = list(dict.fromkeys(found))
    if len({of.lower().endswith(PARQUET) for of in found}) != 1:
        raise ValueError(
            "Expected files that are all CSV or all parquet, at least one. "
            f"Received: {[os.path.basename(of) for of in found]}"
        )
    return found


def folder_of(paths):
    """The folder that files lie in."""
    folders = {os.path.dirname(path) for path in paths}
    if len(folders) > 1:
        raise ValueError(
            "Expected `folder`, where relative paths begin, of tables in "
            f"several. Received: folder=None, tables in {sorted(folders)}"
        )
    return folders.pop()
