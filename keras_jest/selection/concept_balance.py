"""Selection by what rows show, without a model: CABS."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.selection.concept_arguments import check_arguments
from keras_jest.selection.concept_arguments import check_concepts
from keras_jest.selection.concept_arguments import shares_of
from keras_jest.selection.concept_rounds import fill
from keras_jest.selection.concept_rounds import slots_of
from keras_jest.selection.draws import fold_in
from keras_jest.selection.draws import mix
from keras_jest.selection.uniform_selection import UniformSelection
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.ConceptBalance")
class ConceptBalance(keras.layers.Layer):
    """Picks rows whose concepts were trained on too little so far: CABS-DM.

    No model looks at the super-batch. Each row says by a column what it
    shows, as integers; of each concept it is counted how many rows were
    trained on, and rows are picked one after another whose concepts are
    furthest below their targets, in the mean over the concepts of a row:

    - below its target a concept gains `(target - count) / target`, and `1 /
      frequency` besides, its frequency being the rows of the super-batch
      that have it;
    - from its target on it costs `1 - target / (2 * count)`: a half, and
      more beyond.

    All concepts of a super-batch have the same target, or one in proportion
    to `target`: together as many as were trained on of them before and the
    sub-batch will add. Equal gains are ordered by a seeded draw. Rows without
    a concept come last.

    Unlike in the paper counts go on from step to step, beyond its target a
    concept costs more the further it is, instead of being forbidden at a cap,
    and a sub-batch has the size that was asked for.

    It has a memory, so pass it to the constructor of `JESTModel` as `policy`
    and to `compile` as `selection`. Counts are int32, exact up to 2**31 rows
    of a concept, and saved with the model. Under
    `keras.distribution.DataParallel` on JAX they are of all devices. Under
    `tf.distribute` every replica selects from its own part and counts what it
    trained on itself; a file keeps the counts of the first, and an error
    tells of concepts out of range in its part alone.

    A super-batch needs a column `"concepts"`, int32 of shape `(n, k)`: up to
    `k` concepts a row, the rest -1; or `(n,)`, one a row, or -1. A concept
    that a row names twice counts once. Models that name their inputs do not
    see the column. `keras_jest.data.super_batches` puts it into batches of
    records, by `columns={"concepts": concepts}` with a row for each record.

    Args:
        num_concepts: int. Concepts are from 0 to `num_concepts - 1`.
        filter_ratio: float in [0, 1), the share of the super-batch that is
            dropped: 0.8 keeps a fifth.
        sub_batch_size: int or `None`. How many rows to keep, whatever the
            size of the super-batch. It wins over `filter_ratio`.
        num_chunks: int, in how many rounds the sub-batch is filled. A round
            counts on every row that it ranks above another to be picked:
            exact with one concept a row, and nearly so with several; as
            many rounds as rows are the rule to the letter.
        target: optional sequence of `num_concepts` numbers of at least 0, in
            which proportion concepts should be trained on. By default all
            are equal.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: if an argument is out of range; before the first step, if
            the batches lack the column or a concept of the first one is out
            of range; and at the latest at the end of an epoch, if one of
            another batch was: till then such a concept counts as none.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest import ConceptBalance
    from keras_jest import JESTModel
    from keras_jest.losses import SigmoidContrastiveLoss
    from keras_jest.models import DualEncoder

    def encoder():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])

    policy = ConceptBalance(num_concepts=9, sub_batch_size=8)
    model = JESTModel(DualEncoder(encoder(), encoder()), policy=policy)
    model.compile("adam", loss=SigmoidContrastiveLoss(), selection=policy)
    rng = np.random.default_rng(0)
    pool = {
        "images": rng.normal(size=(40, 4)).astype("float32"),
        "token_ids": rng.normal(size=(40, 4)).astype("float32"),
        "concepts": rng.integers(-1, 9, (40, 3)).astype("int32"),
    }
    model.fit(pool, batch_size=20, verbose=0)  # trains on 8 of each 20
    ```

    Reference:
        - [Ghosh et al., 2025](https://arxiv.org/abs/2511.20643), CABS
    """

    needs = ()
    columns = ("concepts",)

    def __init__(
        self,
        num_concepts: int,
        filter_ratio: float = 0.8,
        sub_batch_size: int | None = None,
        num_chunks: int = 16,
        target: Sequence[float] | np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._kept = UniformSelection(filter_ratio, sub_batch_size)
        check_arguments(num_concepts, num_chunks, target)
        self.num_concepts = num_concepts
        self.filter_ratio = filter_ratio
        self.sub_batch_size = sub_batch_size
        self.num_chunks = num_chunks
        self.target = None if target is None else np.asarray(target).tolist()
        self._shares = shares_of(num_concepts, target)
        self.counts = self._add_counter((num_concepts,), "counts")
        self.num_outside = self._add_counter((), "num_outside")
        self.built = True

    def num_kept(self, num_rows: int) -> int:
        """How many of `num_rows` rows are kept: an int, at least 1."""
        return self._kept.num_kept(num_rows)

    def select(
        self,
        learner: LossGivenSet,
        reference: LossGivenSet,
        seed: Tensor,
        concepts: Tensor,
    ) -> Tensor:
        """Pick rows, and count their concepts.

        Args:
            learner: not read.
            reference: not read.
            seed: int32 scalar tensor, another one for each step.
            concepts: int32 tensor of shape `(n, k)` or `(n,)`.

        Returns:
            int32 tensor of shape `(num_kept(n),)`, distinct row numbers.
        """
        del learner, reference
        concepts = self._named_once(concepts)
        num_rows = concepts.shape[0]
        num_kept = self.num_kept(num_rows)
        # Where rows are equal the first is taken: the draw is their order.
        bits = mix(fold_in(seed, ops.arange(num_rows, dtype="int32")))
        order = ops.cast(ops.argsort(bits), "int32")
        concepts = ops.take(concepts, order, axis=0)
        counts = ops.convert_to_tensor(self.counts)
        shares = ops.convert_to_tensor(self._shares)
        slots = slots_of(concepts, counts, shares, num_kept)
        picks, counts = fill(slots, counts, num_kept, self.num_chunks)
        self.counts.assign(counts)
        return ops.take(order, picks)

    def check_columns(self, concepts: Tensor) -> None:
        """Raise if the concepts of a first batch, on the host, are none."""
        check_concepts(concepts, self.num_concepts)

    def check_steps(self) -> None:
        """Raise if concepts were out of range since this was asked last."""
        num_outside = int(ops.convert_to_numpy(self.num_outside))
        if num_outside:
            self.num_outside.assign(0)
            raise ValueError(
                f"Concepts must be from 0 to {self.num_concepts - 1}, or -1 "
                f"for none. Received: {num_outside} others in steps that were "
                "made, where they counted as none. Mend the data, or raise "
                f"`num_concepts`. Received: num_concepts={self.num_concepts}"
            )

    def get_config(self) -> dict[str, Any]:
        names = "num_concepts filter_ratio sub_batch_size num_chunks target"
        own = {name: getattr(self, name) for name in names.split()}
        return {**super().get_config(), **own}

    def _add_counter(self, shape, name):
        return self.add_weight(
            shape=shape,
            dtype="int32",
            initializer="zeros",
            trainable=False,
            name=name,
        )

    def _named_once(self, concepts):
        """Each concept of a row once, `num_concepts` in the other slots."""
        if keras.backend.standardize_dtype(concepts.dtype) == "int64":
            # Else 2**32 would become 0.
            concepts = ops.clip(concepts, -2, self.num_concepts)
        concepts = ops.cast(concepts, "int32")
        concepts = ops.reshape(concepts, (concepts.shape[0], -1))
        is_one = ops.logical_and(concepts >= 0, concepts < self.num_concepts)
        is_none = ops.logical_or(is_one, ops.equal(concepts, -1))
        num_outside = ops.sum(1 - ops.cast(is_none, "int32"))
        self.num_outside.assign_add(ops.cast(num_outside, "int32"))
        slots = ops.sort(ops.where(is_one, concepts, self.num_concepts), axis=1)
        is_repeated = ops.equal(slots[:, 1:], slots[:, :-1])
        others = ops.where(is_repeated, self.num_concepts, slots[:, 1:])
        return ops.concatenate([slots[:, :1], others], axis=1)
