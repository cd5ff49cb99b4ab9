"""From a super-batch to its sub-batch: score, pick, gather."""

import keras
from keras import ops

from keras_jest.selection.draws import fold_in
from keras_jest.selection.uniform_selection import UniformSelection
from keras_jest.trainers.columns import columns_of
from keras_jest.trainers.device_layout import check_sizes
from keras_jest.trainers.device_layout import gather
from keras_jest.trainers.finite_picks import replace_nonfinite
from keras_jest.trainers.labels import count_outside
from keras_jest.trainers.scorers import no_losses
from keras_jest.trainers.scorers import score
from keras_jest.trainers.selection_metrics import draws_by_score
from keras_jest.trainers.trained_beside import carry


def select_rows(model, data):
    """Keep the part of a super-batch that a model trains on.

    Args:
        model: a compiled `SelectingModel`.
        data: what the dataset yields, `n` examples.

    Returns:
        Tuple of the `b` examples to train on, in the same structure, and a
        dict about them: `picks`, their row numbers; `scores`, by how much
        the learner's loss exceeds the reference's, NaN where nothing was
        scored; `seen_score`, their mean over the super-batch; `key`, where
        the data has one; and `labels_outside`, how
        many labels are no class, where they are classes.
    """
    data = keras.tree.map_structure(as_tensor, data)
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    num_rows = keras.tree.flatten(x)[0].shape[0]
    check_sizes(num_rows, model.selection.num_kept(num_rows))
    picks, scores, drawn_by, is_scored = pick_rows(model, x, y, num_rows)
    picks, num_repeated = replace_nonfinite(picks, ops.isfinite(scores))
    chosen = {"picks": picks}
    chosen["scores"] = if_scored(ops.take(scores, picks), is_scored)
    if isinstance(x, dict) and "key" in x:
        chosen["key"] = ops.take(x["key"], picks, axis=0)
    metrics = model.selection_metrics
    seen_score = metrics.update(scores, picks, is_scored)
    chosen["seen_score"] = if_scored(seen_score, is_scored)
    num_scored = num_rows * ops.cast(is_scored, "float32")
    metrics.update_work(picks.shape[0], num_scored)
    if metrics.shows_spread and draws_by_score(model.selection):
        gain = model.selection.gain
        metrics.update_spread(drawn_by, is_scored, gain)
    num_outside = count_outside(model, y)
    if num_outside is not None:
        chosen["labels_outside"] = num_outside
    metrics.update_faults(num_repeated, num_outside)
    model.draws.assign_add(1)
    sub_batch = gather(data, picks)
    if model.train_reference:
        sub_batch = carry(sub_batch, data)
    return sub_batch, chosen


def pick_rows(model, x, y, num_rows):
    """Picks, learnability, scores, and whether both count: by schedule."""
    draws = ops.cast(model.draws, "int32")
    seed = fold_in(ops.convert_to_tensor(model.seed, "int32"), draws)

    def by_score():
        learner, reference = score(model, x, y)
        columns = columns_of(model.selection, x)
        picks = model.selection.select(learner, reference, seed, **columns)
        check_picks(model.selection, picks, num_rows)
        scores = learner.values - reference.values
        drawn_by = scores
        if draws_by_score(model.selection):
            drawn_by = model.selection.score(learner.values, reference.values)
        return ops.cast(picks, "int32"), scores, drawn_by

    def uniformly():
        nothing = no_losses(num_rows)
        size = model.selection.num_kept(num_rows)
        policy = UniformSelection(sub_batch_size=size)
        picks = policy.select(nothing, nothing, seed)
        return picks, nothing.values, nothing.values

    is_scored = bool(model.selection.needs)
    if not model.settings.is_scheduled:
        return *by_score(), is_scored
    is_on = model.settings.is_on(draws)
    is_scored = ops.logical_and(is_on, is_scored)
    return *ops.cond(is_on, by_score, uniformly), is_scored


def if_scored(scores, is_scored):
    """Scores, or NaN: the zeros of a step that scores nothing are none."""
    return ops.where(is_scored, scores, float("nan"))


def keep_all(model, data):
    """Train on all of a batch: as `select_rows`, of nothing to tell."""
    num_rows = keras.tree.flatten(data)[0].shape[0]
    model.selection_metrics.update_work(num_rows, 0)
    return data, {}


def check_picks(policy, picks, num_rows):
    """Raise, while the step is traced, unless the count is the promised."""
    num_kept = policy.num_kept(num_rows)
    if tuple(picks.shape) != (num_kept,):
        raise ValueError(
            f"{type(policy).__name__}.select must return as many rows as its "
            f"`num_kept({num_rows})` says, {num_kept}. "
            f"Received: picks of shape {tuple(picks.shape)}"
        )


def as_tensor(array):
    return None if array is None else ops.convert_to_tensor(array)
