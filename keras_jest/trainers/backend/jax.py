"""Selection and training in one XLA program, on JAX."""

import keras


class SelectingModel(keras.Model):
    """Trains on what `select` keeps."""

    def train_step(self, state, data):
        trainable, non_trainable, optimizer, metrics = state
        values = [*trainable, *non_trainable, *metrics]
        others, counters = self.non_trainable_variables, self.metrics_variables
        variables = [*self.trainable_variables, *others, *counters]
        with keras.StatelessScope(zip(variables, values, strict=True)) as scope:
            sub_batch, chosen = self.select(data)
        non_trainable, metrics = (
            [scope.get_current_value(variable) for variable in group]
            for group in (others, counters)
        )
        state = (trainable, non_trainable, optimizer, metrics)
        logs, state = super().train_step(state, sub_batch)
        return {**logs, "chosen": chosen}, state

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        super().make_train_function(force)
        train_function = self.train_function
        groups = ("trainable", "non_trainable", "optimizer", "metrics")

        def train_and_report(state, iterator):
            self._jax_state = {  # What Keras puts back if this step fails.
                f"{group}_variables": values
                for group, values in zip(groups, state, strict=True)
            }
            logs, state = train_function(state, iterator)
            return self.report(logs), state

        self.train_function = train_and_report
