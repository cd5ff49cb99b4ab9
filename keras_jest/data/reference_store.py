"""What a reference said of each record of a pool, on disk."""

import os
from typing import Any

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.record_key import key_to_hex
from keras_jest.data.store_index import check_index
from keras_jest.data.store_index import open_store_index
from keras_jest.data.store_parts import check_part
from keras_jest.data.store_parts import part_name
from keras_jest.data.store_parts import read_part
from keras_jest.types import StrPath

KEYS_AT_A_TIME = 2**16
MAX_SHOWN = 3


@keras_jest_export("keras_jest.data.ReferenceStore")
class ReferenceStore:
    """Opens what a reference said of each record, and finds it by key.

    A reference never changes, so it is run once over a pool, and every later
    run reads its embeddings, or its losses, from a folder of Arrow files.
    They are mapped, not read: a store takes no memory but what the system
    lends it, whatever its size. `super_batches(..., reference=store)` joins
    them to the batches, in any order of the records and of any cut into
    shards that keeps their identities (see `TarShards`), and
    `keras_jest.models.Precomputed.from_store(store)` (of losses
    `PrecomputedLosses`) is the reference that reads them there.

    The columns are `key`, text as `keras_jest.data.key_to_hex` writes it and
    as in the log of a `keras_jest.callbacks.SelectionLog`, and
    `image_embedding` and `text_embedding`, lists of a fixed size, or `loss`.
    Any reader of Arrow IPC files takes them: all parts at once
    `pyarrow.dataset.dataset(path, format="ipc")` and
    `polars.scan_ipc(f"{path}/part-*.arrow")`, one of them
    `pandas.read_feather(f"{path}/part-00000.arrow")`.

    Beside the parts lies an index of the keys, `_index.arrow`, 24 bytes a
    pair. Who opens the store first makes it, and again if parts have changed;
    in a folder that can only be read it is made in memory.

    Args:
        path: str or path of the folder.

    Attributes:
        metadata: dict: `logit_scale`, `logit_bias`, `width`, `dtype`,
            `identity`, `num_records`, `part_size`, `fingerprint`, `format`.

    Raises:
        ValueError: There is no store, a part is missing, damaged or of
            another store, or a key is there twice.

    Example:

    ```python
    import pathlib, tempfile
    import numpy as np
    from keras_jest.data import ReferenceStore, record_key
    from keras_jest.data.store_parts import write_part

    keys = np.stack([record_key(name) for name in ("cat", "dog")])
    metadata = {
        "logit_scale": 10.0,
        "logit_bias": -10.0,
        "width": 2,
        "dtype": "float16",
        "identity": "shard/key",
        "num_records": 2,
        "part_size": 2,
        "fingerprint": dict.fromkeys(
            ["reference", "image_size", "tokenizer", "identity", "records"]
        ),
    }
    sides = np.eye(2, dtype="float16")
    columns = {"image_embedding": sides, "text_embedding": sides}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "part-00000.arrow")
        write_part(path, keys, columns, metadata)
        store = ReferenceStore(folder)
        arrays = store.take(keys[[1]])
        arrays["reference_image_embedding"]  # [[0, 1]]
    ```

    Reference:
        - [Data curation via joint example selection further accelerates
          multimodal learning](https://arxiv.org/abs/2406.17711).
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._index, self.metadata = open_store_index(self.path)
        self._parts: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._index)

    def __reduce__(self):
        """A worker opens the store by itself."""
        return type(self), (self.path,)

    @property
    def logit_scale(self) -> float | None:
        """The scale of the reference: float, or `None` of losses."""
        return self.metadata["logit_scale"]

    @property
    def logit_bias(self) -> float | None:
        """The bias of the reference: float, or `None` if it has none."""
        return self.metadata["logit_bias"]

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What made the store what it is, entry by entry: a dict.

        `reference` (a digest), `image_size` (int), `tokenizer` (a digest),
        `identity` (str) and `records` (a digest); `None` is not known.
        """
        return self.metadata["fingerprint"]

    def rows(self, keys: np.ndarray) -> np.ndarray:
        """Find keys.

        Args:
            keys: int32 array of shape `(n, 4)`, as in a batch or in
                `TarShards.keys`.

        Returns:
            int64 array of shape `(n,)`: the row of each, counted through all
            parts.

        Raises:
            ValueError: Some are not there.
        """
        rows = self._index.find(keys)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            raise self.lacks(keys, missing)
        return rows

    def missing(self, keys: np.ndarray) -> np.ndarray:
        """Find which keys are not there.

        Args:
            keys: int32 array of shape `(n, 4)`.

        Returns:
            int64 array: the rows of `keys` that are not in the store.
        """
        missing = [np.zeros(0, "int64")]
        for start in range(0, len(keys), KEYS_AT_A_TIME):
            rows = self._index.find(keys[start : start + KEYS_AT_A_TIME])
            missing.append(np.flatnonzero(rows < 0) + start)
        return np.concatenate(missing)

    def take(self, keys: np.ndarray) -> dict[str, np.ndarray]:
        """Read what the reference said of some records.

        Args:
            keys: int32 array of shape `(n, 4)`.

        Returns:
            A dict of arrays, as batches have them:
            `"reference_image_embedding"` and `"reference_text_embedding"` of
            shape `(n, width)`, float16 or float32, or `"reference_loss"` of
            shape `(n,)`, float32.

        Raises:
            ValueError: Some keys are not there; they are counted and named.
        """
        parts, rows = np.divmod(self.rows(keys), self.metadata["part_size"])
        arrays = {
            name: np.empty((len(rows), *column.shape[1:]), column.dtype)
            for name, column in self._part(0).columns.items()
            if name != "key"
        }
        order = np.argsort(parts, kind="stable")
        cuts = np.flatnonzero(np.diff(parts[order])) + 1
        for here in np.split(order, cuts) if len(order) else ():
            columns = self._part(int(parts[here[0]])).columns
            for name, array in arrays.items():
                array[here] = columns[name].take(rows[here], axis=0)
        return {f"reference_{name}": array for name, array in arrays.items()}

    def verify(self, verbose: int = 1) -> None:
        """Read the whole store, and compare it with what was written.

        Opening a store checks that its files are whole, and the keys when
        the index is made. This also finds single bits that a disk has lost.

        Args:
            verbose: 0 or 1. Whether to show a progress bar over the parts.

        Raises:
            ValueError: A part, or the index, has changed.
        """
        num_parts = -(-len(self) // self.metadata["part_size"])
        progress = keras.utils.Progbar(
            num_parts, verbose=verbose, unit_name="part"
        )
        check_index(self.path)
        for number in range(num_parts):
            check_part(self._path_of(number), self._part(number))
            progress.add(1)

    def lacks(self, keys: np.ndarray, missing: np.ndarray) -> ValueError:
        """The error that names keys which are not there."""
        shown = ", ".join(key_to_hex(keys[row]) for row in missing[:MAX_SHOWN])
        return ValueError(
            "Expected a store that has each key. Build it over these records, "
            f"with the identity that they have here ({self.path!r} has "
            f"identity={self.metadata['identity']!r}). Received: "
            f"{len(missing)} of {len(keys)} keys that it has not, such as "
            f"{shown}"
        )

    def _path_of(self, number):
        return os.path.join(self.path, part_name(number))

    def _part(self, number):
        """Map a part when it is needed first."""
        if number not in self._parts:
            path = self._path_of(number)
            try:
                part = read_part(path)
            except FileNotFoundError as error:
                raise has_changed(path, "which is gone") from error
            if part.metadata != self.metadata:
                raise has_changed(path, "of another one")
            self._parts[number] = part
        return self._parts[number]


def has_changed(path, how):
    return ValueError(
        "Expected the store as it was when it was opened. Open it again, or "
        "build it again, which makes only what is missing. Received: "
        f"{path!r}, {how}"
    )
