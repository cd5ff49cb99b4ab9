"""Train on what another run chose, without choosing again."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.data.recording import recorded_rows
from keras_jest.types import StrPath
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.data.Replay")
class Replay(keras.utils.PyDataset):
    """Yields the sub-batches that another run was trained on.

    A learner trains on them without scoring: `model.fit(replay,
    selection=None)` of a `ClassAct`, say, or `model.fit(replay,
    shuffle=False)` of any Keras model, which would shuffle the steps
    otherwise. One epoch is the recorded run.

    Args:
        path: str or path of a file that `keras_jest.callbacks.SelectionLog`
            wrote, also of an unfinished or a damaged one, as
            `keras_jest.data.recorded_rows` reads it.
        x: dict of arrays of `n` rows each, with `"key"` of shape `(n, 4)`.
        y: array of `n` rows, the targets, or `None`.
        sub_batch_size: int or `None`. What the learner's schedule was made
            for; another one in the file is an error.
        sample_weight: array of `n` weights, those of the recorded run, or
            `None`.
        **kwargs: further arguments of `keras.utils.PyDataset`.

    Raises:
        ValueError: if the run had no keys or no step, or keys or a size that
            are not those here; and when more steps are asked for than there
            are.

    Example:

    ```python
    from keras_jest.data import Replay

    # replay = Replay("picks.parquet", pool, sub_batch_size=128)
    # model.compile("adam", loss=SigmoidContrastiveLoss(), selection=None)
    # model.fit(replay)
    ```

    Reference:
        - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), on
          amortisation.
    """

    def __init__(
        self,
        path: StrPath,
        x: Mapping[str, Tensor],
        y: Tensor | None = None,
        sub_batch_size: int | None = None,
        sample_weight: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if "key" not in x:
            raise ValueError(
                "A replay finds its examples by their keys. "
                f"Received: x with {sorted(x)} and no 'key'"
            )
        # Keras gives a model that names no key the first arrays of a dict.
        self.x = {name: x[name] for name in x if name != "key"}
        self.y, self.sample_weight = y, sample_weight
        self.steps = recorded_rows(path, x["key"])
        if not self.steps:
            raise ValueError(f"The log holds no step. Received: {path}")
        largest = max(len(rows) for rows in self.steps)
        if sub_batch_size not in (None, largest):
            raise ValueError(
                "The run was recorded with another sub-batch size, so that "
                "learning rates and schedules do not fit. Received: "
                f"sub_batch_size={sub_batch_size}, recorded={largest}"
            )

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        if not 0 <= step < len(self.steps):
            raise ValueError(
                f"The recorded run has {len(self.steps)} steps. "
                f"Received: step={step}. Train for fewer, or record more."
            )
        rows = self.steps[step]
        x, y, weight = keras.tree.map_structure(
            lambda of: None if of is None else of[rows],
            (self.x, self.y, self.sample_weight),
        )
        if weight is not None:
            return x, y, weight
        return (x,) if y is None else (x, y)
