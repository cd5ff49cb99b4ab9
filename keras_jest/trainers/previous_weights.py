"""The weights of one step ago, for scorers that lag behind."""

import contextlib

import keras
from keras import ops


class PreviousWeights(keras.layers.Layer):
    """Remembers what scorers weighed before their latest update.

    A scorer that works while the learner trains, as the actors of the paper
    do, knows no newer weights than these. Only weights are kept, never rows:
    every super-batch is trained on when it comes, whatever came before it.

    Reference:
    - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), on actors.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.copies = []
        self.num_stored = self.add_weight(
            shape=(), dtype="int", trainable=False, name="num_stored"
        )
        self.built = True

    def make(self, models):
        """Make room for all weights, once the models have them."""
        if self.copies or not all(model.built for model in models):
            return
        for number, weight in enumerate(weights_of(models)):
            copy = self.add_weight(
                shape=weight.shape,
                dtype=weight.dtype,
                initializer="zeros",
                trainable=False,
                name=f"copy_{number}",
            )
            self.copies.append(copy)

    @contextlib.contextmanager
    def in_place_of_present(self, models, variables):
        """Within it, the models are what they were before the last step.

        In the first step, which has none before it, they are what they are.

        Args:
            models: list of Keras models, those of `make`.
            variables: list of all variables that are read within: the scope
                hides that in which JAX holds their values.
        """
        values = {id(variable): variable.value for variable in variables}
        for copy, weight in self._pairs(models):
            present = values[id(weight)]
            before = ops.where(self.num_stored > 0, copy.value, present)
            values[id(weight)] = before
        pairs = [(of, values[id(of)]) for of in variables]
        with keras.StatelessScope(pairs):
            yield

    def store(self, models):
        """Take the present weights, before they are updated."""
        for copy, weight in self._pairs(models):
            copy.assign(weight.value)
        self.num_stored.assign(1)

    def _pairs(self, models):
        return zip(self.copies, weights_of(models), strict=True)


def weights_of(models):
    return [weight for model in models for weight in model.weights]
