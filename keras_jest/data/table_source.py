"""A table of pictures and captions, as a source of entries."""

import os

from keras_jest.data.arrow_file import EXTRA
from keras_jest.data.entry import Entry
from keras_jest.data.fingerprint import digest
from keras_jest.data.folder_files import stats_of
from keras_jest.data.identity import KEY
from keras_jest.data.require import require
from keras_jest.data.table_columns import CAPTION
from keras_jest.data.table_columns import IMAGE
from keras_jest.data.table_columns import check_caption_type
from keras_jest.data.table_columns import check_image_type
from keras_jest.data.table_columns import chosen_column
from keras_jest.data.table_columns import field_columns
from keras_jest.data.table_columns import is_text
from keras_jest.data.table_columns import value_type


class TableSource:
    """The rows of an Arrow table, wherever it is.

    Args:
        rows: `TableFiles` or `DatasetRows`.
        name: str. What it is called in a report.
        image, caption, identity: str or `None`, as in `CaptionTable`.
        folder: str or `None`. The folder that paths begin in; `None` is the
            working directory, and absolute paths are then called by what
            they have not in common.
    """

    WHAT = "table"
    FIELD = "a column"

    def __init__(self, rows, name, image, caption, identity, folder):
        self.rows, self.name, self.folder = rows, name, folder
        self.endings, self.foreign = {}, {}
        schema = rows.schema
        self.image = chosen_column("image", image, IMAGE, schema.names)
        self.caption = chosen_column("caption", caption, CAPTION, schema.names)
        if self.image == self.caption:
            raise ValueError(
                "Expected `image` and `caption` to be two columns. Received: "
                f"{self.image!r} for both, of {schema.names}"
            )
        check_image_type(schema.field(self.image))
        check_caption_type(schema.field(self.caption))
        if identity != KEY and isinstance(identity, str):
            chosen_column("identity", identity, (), schema.names)
        kind = value_type(schema.field(self.image))
        self._has_paths = rows.is_text or is_text(kind)
        used = {self.image, self.caption}
        fields = field_columns(schema, rows.is_text)
        self.fields = [of for of in fields if of not in used]
        rows.open([self.image, self.caption, *self.fields])
        self.bad = [("bad_row", name, of) for of in rows.bad]
        if not len(rows) + len(self.bad):
            raise ValueError(
                f"Expected a table with rows. Received: {name!r} without"
            )

    @property
    def hints(self):
        """What may be behind a fault: list of `(kind, sentence)`."""
        where = "the working directory"
        if self.folder is not None:
            where = f"`folder`, {self.folder!r}"
        return [
            ("missing_image", f"Relative paths begin in {where}."),
            (
                "remote_image",
                "What is at an address is not downloaded: img2dataset makes "
                "shards of such a table, which `TarShards` reads.",
            ),
        ]

    def __len__(self):
        return len(self.rows)

    def entries(self, start, stop):
        """Yield the entries of some rows."""
        table = self.rows.slice(start, stop)
        pairs = zip(table[self.image], table[self.caption], strict=True)
        for image, caption in pairs:
            yield self._entry(image, caption)

    def read(self, row):
        """Return an entry, and its fields: a dict of the other columns."""
        table = self.rows.slice(row, row + 1)
        entry = self._entry(table[self.image][0], table[self.caption][0])
        values = [table[name][0].as_py() for name in self.fields]
        fields = zip(self.fields, map(self._value, values), strict=True)
        return entry, dict(fields)

    def column(self, name, rows):
        """A column of some rows: list; `None`s if there is none."""
        if name not in self.fields:
            return [None] * len(rows)
        values = self.rows.column(name).take(
            require("pyarrow", EXTRA).array(rows)
        )
        return [self._value(of) for of in values.to_pylist()]

    def short_names(self, names):
        """The paths of a list, without the folder that they all lie in."""
        absolute = [of for of in names if os.path.isabs(of)]
        folder = self.folder
        if folder is None and absolute:
            ends = [min(absolute), max(absolute)]
            folder = os.path.dirname(os.path.commonprefix(ends))
        return [short_path(of, folder) for of in names]

    def stamp(self):
        """What an index depends on, as JSON has it."""
        stamp = {
            "rows": self.rows.stamp(),
            "columns": [self.image, self.caption],
        }
        if self._has_paths:
            images = self.rows.column(self.image)
            paths = [self._place(as_bytes(of)) or "" for of in images]
            stamp["pictures"] = digest(stats_of(paths))
        return stamp

    def _entry(self, image, caption):
        path, data = None, None
        if hasattr(image, "keys"):  # A struct, as `datasets` has them.
            image = image.as_py() or {}
            path, data = image.get("path"), image.get("bytes")
        elif self._has_paths:
            path = as_bytes(image)
        else:
            data = as_bytes(image)
        name = os.fsdecode(path or "")
        return Entry(
            name,
            self._place(path) if data is None else data,
            as_bytes(caption),
        )

    def _place(self, path):
        """Where a picture is, or `None` if no path says so."""
        if not path:
            return None
        return os.path.join(self.folder or "", os.fsdecode(path))

    def _value(self, value):
        """A value of another column, of which a text is a str."""
        if isinstance(value, bytes) and self.rows.is_text:
            return value.decode("utf-8", "replace")
        return value


def as_bytes(scalar):
    """The bytes of a text, which may be no UTF-8, or of a picture."""
    if hasattr(scalar, "dictionary"):  # Each value is kept once.
        scalar = scalar.value
    data = scalar.as_buffer()
    return None if data is None else data.to_pybytes()


def short_path(path, folder):
    """A path as it is within a folder, or beside it, with slashes."""
    if "://" in path:
        return path
    if os.path.isabs(path):
        path = os.path.relpath(path, folder)
    return os.path.normpath(path).replace(os.sep, "/")
