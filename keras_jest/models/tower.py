"""One tower of an image-text model, compiled and run by itself."""

import keras
import numpy as np

from keras_jest.models.data_loaders import with_tuples
from keras_jest.models.first_batch import checks_first_batch
from keras_jest.models.pairs import unit_rows

IMAGES, TEXTS = 0, 1


def check_first(tower, x, y, task):
    """Raise if a batch is in other units, or is not what the head reads."""
    del task
    x, y = x if isinstance(x, tuple) else (x, y)
    x = tower.taken(x)
    units = getattr(tower.model, "expected_units", (None, None))
    unit = units[tower.side]
    if unit is not None and hasattr(x, "dtype"):
        unit.check(x, f"{tower.key} of the model '{tower.model.name}'")
    if tower.head is not None:
        tower.head.check(y)


@checks_first_batch(check_first)
class Tower(keras.Model):
    """Embeds images or texts alone, to length 1, by a model's own weights.

    It is compiled as its model is, whenever it runs.

    Args:
        model: an `EncodesApart` model that is built.
        side: `IMAGES` or `TEXTS`.
        head: optional Keras layer that is called with `(embedding, y)` and
            whose outputs are those of the tower. Its `check(y)` raises if
            the targets of a first batch are not what it reads.

    Call arguments:
        inputs: what the tower reads, for `n` rows, or a dict that holds it;
            or a tuple of that and of targets for the head.
    """

    def __init__(self, model, side, head=None):
        # Nothing is cast here: the parts cast as their model does.
        super().__init__(
            name=f"{model.name}_{model.input_keys[side]}",
            dtype="float32",
            autocast=False,
        )
        self.model = model
        self.head = head
        self.side, self.key = side, model.input_keys[side]
        self.built = True
        self._compiled_for = None

    def call(self, inputs):
        x, y = inputs if isinstance(inputs, tuple) else (inputs, None)
        calls = (self.model.call_images, self.model.call_texts)
        embedding = unit_rows(calls[self.side](self.taken(x)))
        # Keras may build unbuilt layers by a call without targets.
        is_plain = self.head is None or y is None
        return embedding if is_plain else self.head(embedding, y)

    def predict_step(self, *arguments):
        """Keras' own, of any backend, with the targets for the head."""
        *state, data = arguments
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if self.head is not None and y is not None:
            x = (x, y)
        return super().predict_step(*state, (x,))

    def predict(self, x, *args, **kwargs):
        self._compile_as_model()
        if isinstance(x, tuple):
            x = self.rows_and_targets(*x)
        else:
            x = self.rows(x)
        return super().predict(with_tuples(x), *args, **kwargs)

    def taken(self, x):
        """What the tower reads of a batch, or of a dict of arrays."""
        if not isinstance(x, dict):
            return x
        if self.key not in x:
            raise ValueError(
                f"The model '{self.model.name}' reads {self.key!r}, which is "
                f"not there. Received: a dict with the keys {sorted(x)}"
            )
        return x[self.key]

    def rows(self, x):
        """Arrays as Keras takes them: a list would be so many inputs."""
        x = self.taken(x)
        if isinstance(x, list):
            x = np.asarray(x)
        is_text = isinstance(x, np.ndarray) and x.dtype.kind in "OSU"
        if is_text or isinstance(x, str | bytes):
            raise ValueError(
                f"`{self.key}` must be numbers, a row for each. Received: "
                "text. Turn captions into token ids by the tokenizer of the "
                "model, such as a `keras_jest.data.Tokenizer`."
            )
        if hasattr(x, "shape") and not (len(x.shape) > 0 and x.shape[0]):
            raise ValueError(
                f"`{self.key}` must be at least one row. Received: an array "
                f"of shape {tuple(x.shape)}"
            )
        return x

    def rows_and_targets(self, x, y):
        """Arrays of as many rows, or a `ValueError`."""
        x = self.rows(x)
        if not hasattr(x, "shape") or x.shape[0] != y.shape[0]:
            received = getattr(x, "shape", type(x).__name__)
            raise ValueError(
                f"Expected arrays, with a label for each row of `{self.key}`; "
                "a dataset yields its labels itself, as tuples. Received: "
                f"{received} and labels of shape {tuple(y.shape)}"
            )
        return x, y

    def _compile_as_model(self):
        model = self.model
        settings = (
            model.jit_compile,
            model.run_eagerly,
            model.steps_per_execution,
        )
        # Layers that were replaced, as by quantization, have other variables.
        state = (settings, [id(of) for of in model.variables])
        if state != self._compiled_for:
            (
                self.jit_compile,
                self.run_eagerly,
                self.steps_per_execution,
            ) = settings
            self.predict_function = None
            self._compiled_for = state


class Towers:
    """The towers of a model, made when they are asked for.

    Keras neither tracks nor saves what stands in an object of no class of
    its own, and a model is not to hold layers that hold itself.
    """

    def __init__(self, model):
        self.model = model
        self.made = {}

    def __getitem__(self, side):
        if side not in self.made:
            self.made[side] = Tower(self.model, side)
        return self.made[side]
