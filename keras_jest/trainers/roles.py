"""Which model does what."""

from typing import NamedTuple

import keras

from keras_jest.models.model_inputs import build_from_batch


class Roles(NamedTuple):
    """The models of a `SelectingModel`, each in its role.

    Args:
        learner: Keras model, the one that the user wants.
        online: Keras model or `None`, trained beside the learner to score in
            its place.
        reference: Keras model or `None`.
        train_reference: bool. The reference is trained, too.
    """

    learner: keras.Model
    online: keras.Model | None
    reference: keras.Model | None
    train_reference: bool

    @property
    def scorers(self):
        """The model behind each name that a policy may need, if any."""
        learner = self.learner if self.online is None else self.online
        scorers = {"learner": learner, "reference": self.reference}
        return {name: of for name, of in scorers.items() if of is not None}

    @property
    def titles(self):
        """The models by what they are called in errors."""
        titles = ("learner", "online model", "reference")
        models = (self.learner, self.online, self.reference)
        pairs = zip(titles, models, strict=True)
        return {title: of for title, of in pairs if of is not None}

    def title_of(self, model):
        titles = self.titles.items()
        return next(title for title, of in titles if of is model)

    @property
    def trained_beside(self):
        """What is trained beside the learner, by its role."""
        models = {}
        if self.online is not None:
            models["online model"] = self.online
        if self.train_reference:
            models["reference"] = self.reference
        return models

    @property
    def trained_scorers(self):
        """The scorers whose weights change from step to step."""
        models = [self.scorers["learner"]]
        return models + ([self.reference] if self.train_reference else [])

    @property
    def models(self):
        return list(self.titles.values())

    @property
    def are_built(self):
        return all(model.built for model in self.models)

    def freeze_reference(self):
        # `model.trainable = True` thaws all that is in a model.
        if self.reference is not None and not self.train_reference:
            self.reference.trainable = False

    def build(self, inputs):
        """Make every variable exist, as JAX needs it before a step."""
        for model in self.models:
            if not model.built:
                build_from_batch(model, inputs)
