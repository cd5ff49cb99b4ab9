"""The rows of a run, taken in before the model's metrics forget them."""

from keras_jest.callbacks.rows_of_epoch import rows_of_epoch

NOTHING = {"trained_rows": 0, "scored_rows": 0}


class RowsBetweenResets:
    """Adds to an account what a model has counted, at each reset.

    Epochs reset a model's metrics, and so does an evaluation, by whomever,
    in the middle of one. It may also leave rows in them that are not of
    training.

    Args:
        account: a `LedgerAccount`.
    """

    def __init__(self, account):
        self.account = account
        self.is_in_epoch = self.is_validating = self._has_trained = False
        self._foreign, self._settled = NOTHING, account.sums

    @property
    def settled(self):
        """The sums without the rows that the model's metrics still keep."""
        return self._settled if self.is_in_epoch else self.account.sums

    def begin(self, model):
        # What a run that broke off had not yet told is lost.
        self.is_in_epoch = False
        self.end(model)
        self._reset_metrics, self.model = model.reset_metrics, model
        model.reset_metrics = self._add_and_reset

    def begin_epoch(self):
        self.is_in_epoch = self._has_trained = True
        self.is_validating = False
        self._settled, self._foreign = self.account.sums, NOTHING

    def begin_step(self):
        if not self._has_trained:
            self._foreign = rows_of_epoch(self.model)  # Of an evaluation.
            self._has_trained = True

    def end_epoch(self):
        self._add()
        self.is_in_epoch = False

    def end(self, model):
        vars(model).pop("reset_metrics", None)

    def go_on(self):
        """Begin where an account from a file ends."""
        self._settled = self.account.sums

    def _add_and_reset(self):
        if self.is_in_epoch:
            self._add()
        self._reset_metrics()
        # In validation a state is saved with the metrics from before it.
        if not self.is_validating:
            self._settled = self.account.sums

    def _add(self):
        if self._has_trained:
            rows = rows_of_epoch(self.model)
            self.account.add(
                {name: rows[name] - self._foreign[name] for name in rows}
            )
            self._has_trained = False
