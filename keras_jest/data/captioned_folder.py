"""A folder of pictures with side texts, as records."""

import os

from keras_jest.api_export import keras_jest_export
from keras_jest.data.checked_records import CheckedRecords
from keras_jest.data.find_shards import SHARD
from keras_jest.data.folder_source import FolderSource
from keras_jest.data.identity import KEY
from keras_jest.types import StrPath


@keras_jest_export("keras_jest.data.CaptionedFolder")
class CaptionedFolder(CheckedRecords):
    """Reads pictures with side texts as a sequence of records.

    `cats/0.jpg` (or `jpeg`, `png`, `webp`, in small or capital letters) with
    its caption in `cats/0.txt` and perhaps further fields in `cats/0.json`,
    in the folder and in those below it, in the order of their names. This is
    how img2dataset writes files, and how trainers of image generators take
    them. Links are followed. A name ends at its last dot.

    Every sample is checked once, as those of `TarShards` are: caption, JSON,
    and the picture decoded to its last pixel. What is bad is skipped and
    listed in `bad`, picture by picture, with a warning. The kinds:
    `missing_caption` (a picture without its text), `missing_image` (a text
    without its picture), `several_images`, `several_captions`,
    `not_a_sample`, `not_a_file`, `unreadable_file`, `unreadable_folder`,
    `undecodable_image`, `image_too_large`, `too_many_pixels`,
    `empty_caption`, `caption_not_utf8`, `caption_too_long`, `bad_json`,
    `json_too_long`. What a system left there (`.DS_Store`, `Thumbs.db`,
    `README.txt`, ...) is not bad but counted in `foreign_counts`.

    A record's `"key"` is the path of its picture within the folder, without
    its ending: it does not change when the folder is moved, and is that of
    `TarShards(..., identity="key")` when the folder was packed by
    `tar --sort=name -C folder -cf 0.tar .`. The `"folder"` that a picture
    lies in is a field of its `"json"`, to count by.

    Args:
        path: str or path of the folder.
        max_bad_share: float in [0, 1]. More bad samples than this share are
            an error.
        index_path: str or path of a file (`.npz`, no pickle) that keeps what
            the check found. It is made if missing and made again if a file's
            name, size or time has changed.
        verbose: 0 or 1. Whether to show a progress bar over the pictures.
        identity: str. What a record is known by, to logs of runs, replays and
            stores of references: `"key"`, or a field of the JSON, such as
            `"uid"`, with a text or a number in each, each another.
        check_pixels: bool. Whether each picture is read and decoded once.
            `False` opens quickly: of a picture only its size is asked for,
            and one that cannot be decoded ends the run that comes upon it.

    Raises:
        ValueError: There is no such folder, no picture in it, more than
            `max_bad_share` is bad, or records have no `identity` or share
            one.

    Example:

    ```python
    import pathlib, tempfile
    from PIL import Image
    from keras_jest.data import CaptionedFolder

    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (8, 8), "red").save(pathlib.Path(folder, "0.png"))
        pathlib.Path(folder, "0.txt").write_text("a red square")
        records = CaptionedFolder(folder, verbose=0)
        records[0]["text"]  # "a red square"
    ```
    """

    def __init__(
        self,
        path: StrPath,
        max_bad_share: float = 0.05,
        index_path: StrPath | None = None,
        verbose: int = 1,
        identity: str = KEY,
        check_pixels: bool = True,
    ) -> None:
        path = os.path.abspath(os.fspath(path))
        if not os.path.isdir(path):
            raise ValueError(
                "Expected a folder of pictures with side texts. Tables are "
                "read by `CaptionTable`, tar files by `TarShards`. Received: "
                f"{path!r}, which is none"
            )
        source = FolderSource(path)
        check_some(source, path)
        super().__init__(
            source, max_bad_share, index_path, verbose, identity, check_pixels
        )


def check_some(source, path):
    """Raise if nothing in a folder is a picture or a side text."""
    if any(image or text for _, image, text, *_ in source.samples):
        return
    shards = any(map(SHARD.fullmatch, os.listdir(path)))
    raise ValueError(
        "Expected pictures (`jpg`, `jpeg`, `png`, `webp`) with side texts of "
        "the same name (`txt`). Received: a folder without"
        f"{', but with tar files, which `TarShards` reads' * shards}: {path!r}"
    )
