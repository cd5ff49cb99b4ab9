"""Whether a model that scores coarse pictures picks what fine ones would."""

import functools

import keras
import numpy as np
from keras import ops

from keras_jest.evaluation.rank_agreement import rank_agreement
from keras_jest.selection.draws import fold_in
from keras_jest.trainers.columns import columns_of
from keras_jest.trainers.looks import as_it_is
from keras_jest.trainers.scorers import no_losses
from keras_jest.trainers.scorers import scorers_of


class ScoreAgreement:
    """Compares coarse with fine scores of super-batches.

    Args:
        model: compiled `FlexiJEST`.
    """

    def __init__(self, model):
        self.model = model
        learner, looks = model.learner, model.looks
        self._coarse = Looking(learner, looks["learner"])
        self._fine = Looking(learner, as_it_is(learner))
        self._reference = None
        if model.reference is not None:
            self._reference = Looking(model.reference, looks["reference"])

    def __call__(self, super_batch):
        """What `FlexiJEST.compare_scores` returns."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(super_batch)
        num_rows = len(keras.tree.flatten(x)[0])
        reference = no_losses(num_rows)
        if "reference" in self.model.selection.needs:
            reference = self._losses("reference", self._reference, x, y)
        learners = [
            self._losses("learner", of, x, y)
            for of in (self._coarse, self._fine)
        ]
        picks = [self._picks(learner, reference, x) for learner in learners]
        scores = [
            ops.convert_to_numpy(learner.values - reference.values)
            for learner in learners
        ]
        num_equal = len(np.intersect1d(*picks))
        return {
            "rank_agreement": rank_agreement(*scores),
            "equal_picks": num_equal / len(picks[0]),
        }

    def _losses(self, name, looking, x, y):
        model = self.model
        size = model.settings.scoring_batch_size
        size = size or len(keras.tree.flatten(x)[0])
        look = functools.partial(looking.predict, batch_size=size, verbose=0)
        return scorers_of(model)[name]._replace(look=look)(x, y)

    def _picks(self, learner, reference, x):
        policy, draws = (
            self.model.selection,
            ops.cast(self.model.draws, "int32"),
        )
        seed = fold_in(ops.convert_to_tensor(self.model.seed, "int32"), draws)
        columns = {
            name: ops.convert_to_tensor(of)
            for name, of in columns_of(policy, x).items()
        }
        memory = getattr(policy, "variables", [])
        # What a policy remembers is not of this batch.
        with keras.StatelessScope([(of, of.value) for of in memory]):
            picks = policy.select(learner, reference, seed, **columns)
            return ops.convert_to_numpy(picks)


class Looking(keras.Model):
    """Lets Keras run a look: compiled, and without gradients."""

    def __init__(self, model, look, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.model = model
        self.look = look
        self.built = True

    def call(self, inputs):
        return self.look(inputs)
