"""A dataset of Hugging Face, as records."""

from typing import TYPE_CHECKING

from keras_jest.api_export import keras_jest_export
from keras_jest.data.checked_records import CheckedRecords
from keras_jest.data.dataset_rows import DatasetRows
from keras_jest.data.identity import KEY
from keras_jest.data.table_source import TableSource
from keras_jest.types import StrPath

if TYPE_CHECKING:
    import datasets


@keras_jest_export("keras_jest.data.HuggingFaceRecords")
class HuggingFaceRecords(CheckedRecords):
    """Reads a `datasets.Dataset` as a sequence of records.

    The pictures are a column of type `datasets.Image`, decoded or not, of
    bytes or of paths (relative ones begin in the working directory). They are
    taken as they are stored; nothing is decoded twice. The other columns of
    numbers and texts are the `"json"` of a record.

    Every row is checked once, and what is bad is skipped, counted and named,
    as `keras_jest.data.CaptionTable` does, which names the kinds.

    A record's `"key"` is the path that is stored with its picture, of
    absolute paths what they have not in common, with a digest of picture and
    caption where several rows have one path; without a path it is the digest.
    So a dataset that is shuffled, filtered or sorted has the same records.

    Args:
        dataset: `datasets.Dataset`, one split of what `load_dataset` returns.
        image: str or `None`. The column of the pictures; `None` as in
            `CaptionTable`.
        caption: str or `None`. The column of the captions; `None` as in
            `CaptionTable`.
        max_bad_share: float in [0, 1]. More bad rows than this share are an
            error.
        index_path: str or path of a file (`.npz`, no pickle) that keeps what
            the check found. It is made if missing and made again if the
            dataset's own fingerprint is another.
        verbose: 0 or 1. Whether to show a progress bar over the rows.
        identity: str. What a record is known by, to logs of runs, replays and
            stores of references: `"key"`, or a column, such as `"uid"`, with
            a text or a number in each row, each another.
        check_pixels: bool. Whether each picture is decoded once. `False`
            opens quickly, and a picture that cannot be decoded ends the run
            that comes upon it.

    Raises:
        ValueError: It is no such dataset, there is no such column or no row,
            more than `max_bad_share` is bad, or records have no `identity`
            or share one.

    Example:

    ```python
    from keras_jest.data import HuggingFaceRecords

    # dataset = datasets.load_dataset("imagefolder", data_dir=folder)
    # records = HuggingFaceRecords(dataset["train"], caption="text")
    # super_batches(records, tokenizer, image_size=256, batch_size=4096)
    ```
    """

    def __init__(
        self,
        dataset: "datasets.Dataset",
        image: str | None = None,
        caption: str | None = None,
        max_bad_share: float = 0.05,
        index_path: StrPath | None = None,
        verbose: int = 1,
        identity: str = KEY,
        check_pixels: bool = True,
    ) -> None:
        check_dataset(dataset)
        source = TableSource(
            DatasetRows(dataset), "dataset", image, caption, identity, None
        )
        super().__init__(
            source, max_bad_share, index_path, verbose, identity, check_pixels
        )


def check_dataset(dataset):
    """Raise unless this is one split, with rows that can be indexed."""
    if isinstance(dataset, dict):
        raise ValueError(
            "Expected one split of the dataset: `dataset['train']`, or "
            f"`load_dataset(..., split='train')`. Received: a "
            f"{type(dataset).__name__} of {sorted(dataset)}"
        )
    if hasattr(dataset, "with_format") and not hasattr(dataset, "__len__"):
        raise ValueError(
            "Expected a dataset whose rows can be indexed. Load it without "
            f"`streaming=True`. Received: a {type(dataset).__name__}"
        )
    if not hasattr(dataset, "with_format"):
        raise ValueError(
            "Expected a `datasets.Dataset`. A list of dicts with 'image', "
            "'text' and 'key' is records already. Received: a "
            f"{type(dataset).__name__}"
        )
