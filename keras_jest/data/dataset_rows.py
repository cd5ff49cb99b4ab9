"""The rows of a dataset of Hugging Face, without decoding a picture."""


class DatasetRows:
    """Reads rows of a dataset as Arrow tables, as it stores them.

    Nothing of the package `datasets` is needed but the object.

    Args:
        dataset: `datasets.Dataset`.

    Attributes:
        schema: `pyarrow.Schema` of all columns.
        is_text: bool. Bytes are those of pictures.
        bad: list, empty.
    """

    is_text = False
    bad = ()

    def __init__(self, dataset):
        self.dataset = dataset
        self.schema = dataset.with_format("arrow")[:1].schema

    def open(self, columns):
        """Take some columns alone."""
        self._rows = self.dataset.with_format("arrow", columns=columns)

    def __len__(self):
        return len(self.dataset)

    def slice(self, start, stop):
        """Some rows, as a `pyarrow.Table`."""
        return self._rows[start:stop]

    def column(self, name):
        """A column, as a `pyarrow.ChunkedArray`."""
        return self.dataset.with_format("arrow", columns=[name])[:][name]

    def stamp(self):
        """What the dataset says that decides what it holds."""
        return {"dataset": self.dataset._fingerprint, "rows": len(self)}
