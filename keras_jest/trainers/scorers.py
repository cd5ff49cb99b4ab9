"""Who scores, and how."""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.losses.loss_given_set import given
from keras_jest.models.model_inputs import model_inputs
from keras_jest.models.precomputed_losses import PrecomputedLosses
from keras_jest.trainers.looks import in_slices


class Scorer(NamedTuple):
    """One model that scores super-batches.

    Args:
        model: Keras model.
        role: str, what it is called in an error.
        look: function of the inputs of rows to the model's outputs for
            them, one of `looks`.
        loss: what `given` makes losses of the outputs with.
    """

    model: keras.Model
    role: str
    look: Callable
    loss: object

    def __call__(self, x, y):
        """What the model loses on each row, as a `LossGivenSet`.

        Args:
            x: the inputs of `n` examples.
            y: their targets, or `None`.
        """
        outputs = self.look(model_inputs(self.model, x, self.role))
        return given(self.loss, outputs, y)


class Stored:
    """In the place of a loss: outputs that are losses already."""

    def given(self, y_pred, y_true=None):
        del y_true
        return LossGivenSet(y_pred)


def scorers_of(model):
    """The scorer behind each name that a policy may need.

    Args:
        model: a compiled `SelectingModel`. Its `looks` say how its scorers
            look at rows. Here they get slices, to bound memory, and the
            weights that they look with.

    Returns:
        Dict of `Scorer`s.
    """
    roles, settings = model.roles, model.settings
    scorers = {}
    for name, look in model.looks.items():
        scorer = roles.scorers[name]
        look = in_slices(look, settings.scoring_batch_size)
        look = model.previous_weights.looking(
            look, scorer, roles.trained_scorers
        )
        is_stored = isinstance(scorer, PrecomputedLosses)
        loss = Stored() if is_stored else settings.score_loss or model.loss
        scorers[name] = Scorer(scorer, roles.title_of(scorer), look, loss)
    return scorers


def score(model, x, y):
    """The losses that the policy of a model needs, and zeros for others.

    Args:
        model: a compiled `SelectingModel`.
        x: the inputs of a super-batch of `n` examples.
        y: their targets, or `None`.

    Returns:
        Tuple of two `LossGivenSet`s, the learner's and the reference's.
    """
    scorers, needs = scorers_of(model), model.selection.needs
    num_rows = keras.tree.flatten(x)[0].shape[0]
    return tuple(
        scorers[name](x, y) if name in needs else no_losses(num_rows)
        for name in ("learner", "reference")
    )


def no_losses(num_rows):
    """Zeros, in the place of a model that a policy does not need."""
    return LossGivenSet(ops.zeros((num_rows,), "float32"))
