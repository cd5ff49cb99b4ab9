"""Writes the files of users: folders, tables, a dataset that is none."""

import pyarrow
import pyarrow.csv
import pyarrow.parquet
from tar_writer import picture

from keras_jest.data import CaptionedFolder
from keras_jest.data import CaptionTable
from keras_jest.data import HuggingFaceRecords

KINDS = ("folder", "csv", "parquet", "dataset")


def write_pairs(folder, num_records=6, number=0):
    """Pictures with side texts, in two folders that have the same names."""
    for row in range(num_records):
        place = folder / "ab"[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        png = picture(row + number, size=(8 + row, 8))
        (place / f"{row // 2}.png").write_bytes(png)
        (place / f"{row // 2}.txt").write_text(f"caption {row}")
        (place / f"{row // 2}.json").write_text(f'{{"uid": "u{row}"}}')
    return folder


def paths_of(num_records):
    return [f"{'ab'[row % 2]}/{row // 2}.png" for row in range(num_records)]


def texts_of(num_records):
    return {
        "caption": [f"caption {row}" for row in range(num_records)],
        "uid": [f"u{row}" for row in range(num_records)],
    }


class Dataset:
    """As much of a `datasets.Dataset` as is read."""

    def __init__(self, table, columns=None, fingerprint="one"):
        self.table, self._fingerprint = table, fingerprint
        self.columns = columns or table.schema.names

    def with_format(self, type, columns=None):
        assert type == "arrow"
        return Dataset(self.table, columns)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, rows):
        return self.table[rows].select(self.columns)


def structs(images, paths=None):
    """A column as `datasets` stores pictures."""
    paths = paths or [None] * len(images)
    parts = zip(images, paths, strict=True)
    kind = [("bytes", pyarrow.binary()), ("path", pyarrow.string())]
    return pyarrow.array(
        [{"bytes": data, "path": path} for data, path in parts],
        pyarrow.struct(kind),
    )


def make_records(kind, folder, num_records=6, **arguments):
    """The same pairs in a reader of each kind, in some order."""
    write_pairs(folder, num_records)
    arguments = {"verbose": 0, **arguments}
    if kind == "folder":
        return CaptionedFolder(folder, **arguments)
    paths, texts = paths_of(num_records), texts_of(num_records)
    if kind == "csv":
        table = pyarrow.table({"filepath": paths, **texts})
        pyarrow.csv.write_csv(table, folder / "pairs.csv")
        return CaptionTable(folder / "pairs.csv", **arguments)
    images = structs([(folder / path).read_bytes() for path in paths], paths)
    table = pyarrow.table({"image": images, **texts})
    if kind == "dataset":
        return HuggingFaceRecords(Dataset(table), **arguments)
    path = folder / "pairs.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=2)
    return CaptionTable(path, **arguments)
