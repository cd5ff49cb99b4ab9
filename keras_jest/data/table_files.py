"""CSV and parquet files as one Arrow table that is read where it lies."""

import json
import os

from keras_jest.data.arrow_file import EXTRA
from keras_jest.data.csv_table import csv_layout
from keras_jest.data.csv_table import read_csv
from keras_jest.data.record_index import make_folder_of
from keras_jest.data.require import require
from keras_jest.data.short_name import short_name
from keras_jest.data.table_columns import value_type
from keras_jest.data.whole_file import whole_file

METADATA = b"keras_jest_table"
PARQUET = (".parquet", ".pq")
# Without an `index_path`, tables are held in memory up to here.
MOST_IN_MEMORY = 2**30
BATCH_BYTES = 2**26
BATCH_ROWS = 2**16


class TableFiles:
    """The rows of files, end to end.

    Parquet has no random access. With an `index_path` the columns are laid
    out once as an Arrow file beside it, `<index_path>.arrow`, which is
    mapped; without, they are held in memory.

    Args:
        paths: list of str. CSV files or parquet files.
        index_path: str, path or `None`.

    Attributes:
        schema: `pyarrow.Schema` of all columns.
        is_text: bool. Whether all that is bytes is text.
        bad: list of str. The rows that are none.
    """

    def __init__(self, paths, index_path):
        self.paths = paths
        self.layout = f"{os.fspath(index_path)}.arrow" if index_path else None
        self.is_text = not paths[0].lower().endswith(PARQUET)
        self.schema = self._schema_of(paths[0])
        self._stamp, self._table, self.columns = None, None, None

    def open(self, columns):
        """Have some columns at hand; before it there is no row."""
        self.columns = columns
        for path in self.paths[1:]:
            self._check_schema(path)
        self._stamp = self.stamp()
        self._table = self._read()
        self._length = len(self._table)
        self.bad = json.loads(self._table.schema.metadata[METADATA])["bad"]

    def __len__(self):
        return self._length

    def slice(self, start, stop):
        """Some rows, as a `pyarrow.Table`."""
        return self.table.slice(start, stop - start)

    def column(self, name):
        """A column, as a `pyarrow.ChunkedArray`."""
        return self.table[name]

    def stamp(self):
        """What decides what the files hold, as JSON has it."""
        stats = [os.stat(path) for path in self.paths]
        return {
            "names": [os.path.basename(path) for path in self.paths],
            "files": [[of.st_size, of.st_mtime_ns] for of in stats],
        }

    @property
    def table(self):
        """The table; in a process that was sent these it is opened anew."""
        if self._table is None:
            if self.stamp() != self._stamp:
                raise ValueError(f"{self.paths} have changed")
            self._table = self._read()
        return self._table

    def __getstate__(self):
        return {**self.__dict__, "_table": None}

    def _read(self):
        if self.layout is None:
            pyarrow = require("pyarrow", EXTRA)
            schema, batches = self._contents()
            return pyarrow.Table.from_batches(batches, schema)
        table = self._map()
        if table is None:
            self._lay_out()
            table = self._map()
        return table

    def _map(self):
        """Map the Arrow file, or return `None` if it is of other files."""
        pyarrow = require("pyarrow", EXTRA)
        ipc = require("pyarrow.ipc", EXTRA)
        if not os.path.exists(self.layout):
            return None
        try:
            with pyarrow.memory_map(self.layout) as file:
                table = ipc.open_file(file).read_all()
            known = json.loads(table.schema.metadata[METADATA])
        except (pyarrow.ArrowInvalid, TypeError, KeyError, ValueError) as error:
            raise ValueError(
                "Expected a file of ours, or none. Delete it or take another "
                f"`index_path`. Received: {self.layout!r} ({error})"
            ) from error
        wanted = {"stamp": self._stamp, "columns": self.columns}
        return table if wanted.items() <= known.items() else None

    def _lay_out(self):
        """Write the Arrow file, whole or not at all."""
        ipc = require("pyarrow.ipc", EXTRA)
        schema, batches = self._contents()
        schema = decoded_schema(schema)
        make_folder_of(self.layout)
        with (
            whole_file(self.layout) as file,
            ipc.new_file(file, schema) as writer,
        ):
            for batch in batches:
                writer.write_batch(decoded(batch, schema))

    def _contents(self):
        """The schema of the columns, and an iterator over their batches."""
        bad, batches = [], self._parquet_batches()
        if self.is_text:
            read = [read_csv(path, self.columns) for path in self.paths]
            bad = [
                row if len(read) == 1 else f"{os.path.basename(path)}, {row}"
                for path, (_, rows) in zip(self.paths, read, strict=True)
                for row in rows
            ]
            tables = (table.select(self.columns) for table, _ in read)
            batches = (of for table in tables for of in table.to_batches())
        known = {"stamp": self._stamp, "columns": self.columns, "bad": bad}
        pyarrow = require("pyarrow", EXTRA)
        schema = pyarrow.schema(
            [self.schema.field(name) for name in self.columns],
            {METADATA: json.dumps(known)},
        )
        return schema, batches

    def _parquet_batches(self):
        """Yield the rows of parquet files, some at a time."""
        parquet = require("pyarrow.parquet", EXTRA)
        for path in self.paths:
            with parquet.ParquetFile(path, memory_map=True) as file:
                num_bytes = bytes_of(file.metadata, self.columns)
                if self.layout is None:
                    check_memory(path, num_bytes)
                of_row = num_bytes // max(file.metadata.num_rows, 1) + 1
                num_rows = min(max(BATCH_BYTES // of_row, 1), BATCH_ROWS)
                yield from file.iter_batches(num_rows, columns=self.columns)

    def _schema_of(self, path):
        """The columns of a file, and their types."""
        pyarrow = require("pyarrow", EXTRA)
        if self.is_text:
            names = csv_layout(path)[2]
            return pyarrow.schema([(name, pyarrow.binary()) for name in names])
        parquet = require("pyarrow.parquet", EXTRA)
        try:
            return parquet.read_schema(path, memory_map=True)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(
                "Expected a whole parquet file. Received: "
                f"{path!r} ({short_name(str(error))})"
            ) from error

    def _check_schema(self, path):
        """Raise unless a further file has the columns of the first."""
        schema = self._schema_of(path)
        for name in self.columns:
            if schema.names.count(name) != 1 or (
                schema.field(name).type != self.schema.field(name).type
            ):
                raise ValueError(
                    "Expected files with the same columns, of the same types. "
                    f"Received: {path!r} with {schema.names}, which differs "
                    f"in {name!r} from {self.paths[0]!r}"
                )


def decoded_schema(schema):
    """The schema of a table in which no value is kept only once.

    Each row group has its own dictionary, and an Arrow file has but one.
    """
    fields = [field.with_type(value_type(field)) for field in schema]
    return require("pyarrow", EXTRA).schema(fields, schema.metadata)


def decoded(batch, schema):
    """A batch with such a schema."""
    pyarrow = require("pyarrow", EXTRA)
    columns = [
        of.dictionary_decode() if pyarrow.types.is_dictionary(of.type) else of
        for of in batch.columns
    ]
    return pyarrow.record_batch(columns, schema)


def bytes_of(metadata, columns):
    """How many bytes columns of a parquet file take when they are read."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return sum(
        column.total_uncompressed_size
        for group in groups
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema.partition(".")[0] in columns
    )


def check_memory(path, num_bytes):
    """Raise if the rows of a file take too much memory."""
    if num_bytes > MOST_IN_MEMORY:
        raise ValueError(
            "Expected an `index_path` for a large parquet file: it has no "
            "random access, and its rows are laid out once in a file beside "
            f"that one. Received: index_path=None, {path!r} with {num_bytes} "
            "bytes of rows"
        )
