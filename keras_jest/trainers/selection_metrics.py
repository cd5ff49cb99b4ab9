"""What the progress bar says about selection."""

import keras
from keras import ops


class SelectionMetrics(keras.layers.Layer):
    """Counts what was offered and what was kept, over an epoch.

    It holds the mean learnability of the super-batch and of what was kept,
    over the steps that scored rows (0 if there were none); the number of
    scored rows that are not finite; and, unseen, of places that had to be
    filled by repeating rows.
    """

    SHOWN = ("learnability", "kept_learnability", "nonfinite_rows")
    UNSEEN = ("repeated_rows",)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.learnability = keras.metrics.Mean("learnability")
        self.kept_learnability = keras.metrics.Mean("kept_learnability")
        self.nonfinite_rows = keras.metrics.Sum("nonfinite_rows")
        self.repeated_rows = keras.metrics.Sum("repeated_rows")
        self.built = True

    def update(self, scores, picks, is_scored, num_repeated):
        """Take in the scores of one super-batch, and which were kept."""
        finite = ops.isfinite(scores)
        self.nonfinite_rows.update_state(1.0 - ops.cast(finite, "float32"))
        weights = ops.cast(ops.logical_and(finite, is_scored), "float32")
        scores = ops.where(finite, scores, 0.0)
        self.learnability.update_state(scores, sample_weight=weights)
        scores, weights = ops.take(scores, picks), ops.take(weights, picks)
        self.kept_learnability.update_state(scores, sample_weight=weights)
        self.repeated_rows.update_state(ops.cast(num_repeated, "float32"))

    def visible(self, logs, is_selecting):
        """The logs without what says nothing to the user now."""
        hidden = self.UNSEEN if is_selecting else self.UNSEEN + self.SHOWN
        return {name: logs[name] for name in logs if name not in hidden}

    def check_repeated_rows(self):
        """Raise if rows had to be repeated since the metrics were reset."""
        num_repeated = int(self.repeated_rows.result())
        self.repeated_rows.reset_state()
        if num_repeated:
            raise ValueError(
                "Too few rows were finite to fill the sub-batch, so "
                f"{num_repeated} places were filled by repeating others. "
                "Received: non-finite rows="
                f"{int(self.nonfinite_rows.result())}. Look for infinities in "
                "the data, or lower the learning rate."
            )
