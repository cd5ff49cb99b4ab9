"""What the progress bar says about selection."""

import math

import keras
from keras import ops

from keras_jest.trainers.labels import explanation


class SelectionMetrics(keras.layers.Layer):
    """Counts what was offered and what was kept, over an epoch.

    It holds the mean learnability of the super-batch and of what was kept,
    over the steps that scored rows (0 if there were none); the number of
    scored rows that are not finite; and, unseen, of places that had to be
    filled by repeating rows, of labels that are no class, and of the rows
    that were trained on and scored, for a ledger.

    Args:
        shows_spread: bool. Show the mean of `log(std(gain * score))`, too:
            far below 0 a draw is uniform in all but name.
        **kwargs: as for every layer.
    """

    def __init__(self, shows_spread=False, **kwargs):
        super().__init__(**kwargs)
        self.shown = ["learnability", "kept_learnability", "nonfinite_rows"]
        self.unseen = ["repeated_rows", "labels_outside"]
        self.unseen += ["trained_rows", "scored_rows"]
        self.shows_spread = shows_spread
        (self.shown if shows_spread else self.unseen).append("log_spread")
        self.log_spread = keras.metrics.Mean("log_spread")
        self.labels_outside = keras.metrics.Sum("labels_outside")
        self.learnability = keras.metrics.Mean("learnability")
        self.kept_learnability = keras.metrics.Mean("kept_learnability")
        self.nonfinite_rows = keras.metrics.Sum("nonfinite_rows")
        self.repeated_rows = keras.metrics.Sum("repeated_rows")
        self.trained_rows = keras.metrics.Sum("trained_rows")
        self.scored_rows = keras.metrics.Sum("scored_rows")
        self.built = True

    def update(self, scores, picks, is_scored):
        """Take in the scores of one super-batch, and which were kept.

        Returns:
            Scalar, the mean of those of the super-batch that are finite.
        """
        finite = ops.isfinite(scores)
        self.nonfinite_rows.update_state(1.0 - ops.cast(finite, "float32"))
        weights = ops.cast(ops.logical_and(finite, is_scored), "float32")
        scores = ops.where(finite, scores, 0.0)
        self.learnability.update_state(scores, sample_weight=weights)
        mean = ops.sum(scores * weights) / ops.maximum(ops.sum(weights), 1.0)
        scores, weights = ops.take(scores, picks), ops.take(weights, picks)
        self.kept_learnability.update_state(scores, sample_weight=weights)
        return mean

    def update_spread(self, scores, is_scored, gain):
        """Take in how far the scores of one super-batch are apart."""
        weights = ops.cast(ops.isfinite(scores), "float32")
        scores = ops.where(ops.isfinite(scores), scores, 0.0)
        num_rows = ops.maximum(ops.sum(weights), 1.0)
        mean = ops.sum(weights * scores) / num_rows
        variance = ops.sum(weights * ops.square(scores - mean)) / num_rows
        log_spread = 0.5 * ops.log(ops.maximum(variance, 1e-24))
        self.log_spread.update_state(
            log_spread + math.log(gain),
            sample_weight=ops.cast(is_scored, "float32"),
        )

    def update_work(self, num_trained, num_scored):
        """Count the rows that a step trains on and that it scores."""
        for count, metric in (
            (num_trained, self.trained_rows),
            (num_scored, self.scored_rows),
        ):
            metric.update_state(ops.cast(count, "float32"))

    def update_faults(self, num_repeated, num_labels_outside):
        """Count what `check` raises for."""
        self.repeated_rows.update_state(ops.cast(num_repeated, "float32"))
        if num_labels_outside is not None:
            self.labels_outside.update_state(num_labels_outside)

    def visible(self, logs, policy):
        """The logs without what says nothing to the user now."""
        hidden = list(self.unseen)
        if policy is None:
            hidden += self.shown
        elif not draws_by_score(policy):
            hidden += ["log_spread"]
        return {name: logs[name] for name in logs if name not in hidden}

    def forget_faults(self):
        self.repeated_rows.reset_state()
        self.labels_outside.reset_state()

    def check(self, num_classes=None):
        """Raise for faults since the metrics were reset."""
        num_repeated = int(self.repeated_rows.result())
        num_labels = int(self.labels_outside.result())
        self.forget_faults()
        if num_labels:
            raise ValueError(explanation(num_labels, num_classes))
        if num_repeated:
            raise ValueError(
                "Too few rows were finite to fill the sub-batch, so "
                f"{num_repeated} places were filled by repeating others. "
                "Received: non-finite rows="
                f"{int(self.nonfinite_rows.result())}. Look for infinities in "
                "the data, or lower the learning rate."
            )


def draws_by_score(policy):
    """Whether a policy draws rows with odds that its own score decides."""
    has_score = callable(getattr(policy, "score", None))
    gain = getattr(policy, "gain", 0.0)
    return has_score and bool(policy.needs) and 0 < gain < math.inf
