"""Classes of pictures by their names alone."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.checked_tokenizer import checked_tokenizer
from keras_jest.evaluation.class_ranks import ClassRanks
from keras_jest.evaluation.class_ranks import accuracies
from keras_jest.evaluation.class_ranks import check_range
from keras_jest.evaluation.prompts import checked_names
from keras_jest.evaluation.prompts import checked_templates
from keras_jest.evaluation.prompts import prompt
from keras_jest.types import Tensor
from keras_jest.types import TokenizerLike

PROMPTS_AT_A_TIME = 8192


@keras_jest_export("keras_jest.evaluation.ZeroShotClassifier")
class ZeroShotClassifier:
    """Classifies pictures by the text tower of an image-text model.

    Each class is embedded as the field does it: its name is put into each
    template, each prompt is embedded and brought to length 1, their mean is
    brought to length 1 again. The class of a picture is the one with the most
    similar embedding; of equal ones, the first.

    Classes are embedded once for each call, by the weights that the model has
    then. Pictures are compared with all classes a batch at a time, in the
    compiled pass that embeds them, so that 50,000 pictures of 1,000 classes
    need no more memory than a batch and two numbers for each picture.

    Args:
        model: a `DualEncoder`, `HubDualEncoder` or `SigLIP`. Of a
            `JESTModel` take its `learner`.
        tokenizer: that of the model: a `keras_jest.data.Tokenizer`, or a
            callable of another library that gives rows of one length.
        class_names: list of str; entry `i` is the name of label `i`.
        templates: list of str with `"{}"` where the name belongs, such as
            `["a photo of a {}."]`, or `"{c}"` as CLIP_benchmark writes it.

    Raises:
        ValueError: The model has no towers, the tokenizer no such rows, or
            names or templates are none.

    Example:

    ```python
    import numpy as np
    from keras_jest.data import Tokenizer
    from keras_jest.evaluation import ZeroShotClassifier
    from keras_jest.models import SigLIP

    class_names = ["cat", "dog", "fire engine"]
    tokenizer = Tokenizer.train(class_names, 280, sequence_length=16)
    model = SigLIP.from_variant(
        "mu/8", image_size=16, vocabulary_size=280, sequence_length=16
    )
    templates = ["a photo of a {}.", "a drawing of a {}."]
    classifier = ZeroShotClassifier(model, tokenizer, class_names, templates)
    images = np.zeros((8, 16, 16, 3), "uint8")
    labels = np.arange(8) % 3
    metrics = classifier.evaluate(images, labels, verbose=0)
    print(metrics["acc1"], metrics["mean_per_class_recall"])
    classes = classifier.predict(images, verbose=0).argmax(axis=1)
    print([class_names[row] for row in classes])
    ```

    Reference:
        - [Learning Transferable Visual Models From Natural Language
          Supervision](https://arxiv.org/abs/2103.00020), section 3.1.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: TokenizerLike,
        class_names: Sequence[str],
        templates: Sequence[str],
    ) -> None:
        if not hasattr(model, "image_tower"):
            raise ValueError(
                "Expected an image-text model, whose towers can be run one "
                "by one: a `DualEncoder`, `HubDualEncoder` or `SigLIP`. Of a "
                "`JESTModel` pass its `learner`; two towers of your own go "
                f"into a `DualEncoder`. Received: model={model}"
            )
        self.model = model
        self.class_names = checked_names(class_names)
        self.templates = checked_templates(templates)
        first = prompt(self.templates[0], self.class_names[0])
        self.tokenizer = checked_tokenizer(tokenizer, [{"text": first}])
        self._tower = None

    def evaluate(
        self,
        images: Any,
        labels: Tensor | None = None,
        batch_size: int = 256,
        verbose: str | int = "auto",
    ) -> dict[str, float]:
        """Compare the classes that are found with the labels.

        Args:
            images: array of `n` pictures as the model takes them, a dict that
                holds one, or a dataset that `keras.Model.predict` takes, of
                tuples `(images, labels)`.
            labels: int array of shape `(n,)`, or `None` if `images` is a
                dataset: the number of each picture's class in `class_names`.
            batch_size: int, prompts and rows of an array at a time.
            verbose: as in `keras.Model.predict`.

        Returns:
            A dict of floats from 0 to 1, by the names of CLIP_benchmark:
            `acc1`, the share of pictures whose class is found; `acc5`, of
            those whose class is among the five most similar, if there are
            five; `mean_per_class_recall`, the mean of `acc1` over the classes
            that have pictures.

        Raises:
            ValueError: There is no label for each picture, or one is no
                number of a class.
        """
        tower = self._tower_with_classes(batch_size, verbose)
        if labels is not None:
            labels = keras.ops.convert_to_numpy(labels)
            tower.head.check(labels)
            images = (images, labels)
        found = tower.predict(images, batch_size, verbose)
        num_classes = len(self.class_names)
        check_range(found["labels"], num_classes)
        return accuracies(found["labels"], found["ranks"], num_classes)

    def predict(
        self, images: Any, batch_size: int = 256, verbose: str | int = "auto"
    ) -> np.ndarray:
        """Return how similar each picture is to each class.

        Args:
            images: array of `n` pictures, or a dataset of batches of them.
            batch_size: int, prompts and rows of an array at a time.
            verbose: as in `keras.Model.predict`.

        Returns:
            A float32 array of shape `(n, num_classes)`, cosines from -1 to 1.
            The largest one of a row is that of the class, by `argmax`.
        """
        classes = self.class_embeddings(batch_size, verbose)
        images = self.model.encode_images(images, batch_size, verbose)
        return images @ classes.T

    def class_embeddings(
        self, batch_size: int = 256, verbose: str | int = "auto"
    ) -> np.ndarray:
        """Embed the classes: `(num_classes, d)`, rows of length 1, float32."""
        num_templates = len(self.templates)
        num_prompts = len(self.class_names) * num_templates
        # Whole batches: a smaller one would be compiled, too.
        step = batch_size * max(1, PROMPTS_AT_A_TIME // batch_size)
        sums: dict[int, np.ndarray] = {}
        for start in range(0, num_prompts, step):
            numbers = range(start, min(start + step, num_prompts))
            prompts = [self._prompt(number) for number in numbers]
            embedding = self.model.encode_texts(
                self.tokenizer(prompts), batch_size, verbose
            )
            add_by_class(sums, np.array(numbers) // num_templates, embedding)
        means = np.stack([sums[row] for row in range(len(self.class_names))])
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        return (means / np.where(lengths > 0, lengths, 1.0)).astype("float32")

    def _prompt(self, number):
        row, template = divmod(number, len(self.templates))
        return prompt(self.templates[template], self.class_names[row])

    def _tower_with_classes(self, batch_size, verbose):
        classes = self.class_embeddings(batch_size, verbose)
        if self._tower is None:
            self._tower = self.model.image_tower(ClassRanks(*classes.shape))
        self._tower.head.classes.assign(classes)
        return self._tower


def add_by_class(sums, classes, embedding):
    """Add rows to the sums of their classes, which are in order."""
    classes, starts = np.unique(classes, return_index=True)
    added = np.add.reduceat(embedding, starts, axis=0, dtype="float64")
    for row, values in zip(classes.tolist(), added, strict=True):
        sums[row] = sums.get(row, 0.0) + values
