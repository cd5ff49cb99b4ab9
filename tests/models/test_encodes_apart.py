"""A model's parts, called apart, give what its call gives: to the last bit."""

import keras
import numpy as np
import pytest
from check_layer import to_numpy

from keras_jest.models import DualEncoder
from keras_jest.models import HubDualEncoder
from keras_jest.models import SigLIP

SIZES = {"width": 8, "depth": 1, "num_heads": 2, "mlp_dim": 12}
POLICIES = ("float32", "mixed_bfloat16")


def batch(n=3):
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (n, 8, 8, 3)).astype("float32")
    token_ids = random.integers(0, 20, (n, 5)).astype("int32")
    return {"images": images, "token_ids": token_ids}


def tower(first, dtype):
    """Its numbers differ between precisions."""
    dense = keras.layers.Dense(6, dtype=dtype)
    layers = [first, keras.layers.Flatten(), dense]
    return keras.Sequential(layers)


def in_policies(model_policy, image_policy, text_policy):
    model = DualEncoder(
        tower(keras.layers.Flatten(), dtype=image_policy),
        tower(keras.layers.Embedding(20, 4), dtype=text_policy),
        logit_scale=99.7,
        dtype=model_policy,
    )
    model(batch())
    return model


def apart(model, inputs, **options):
    return model.join(
        model.call_images(inputs["images"], **options),
        model.call_texts(inputs["token_ids"]),
    )


class Around(keras.Model):
    """Calls the parts of a model in its own call and precision."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = model

    def call(self, inputs, training=None):
        return apart(self.model, inputs)


def assert_equal(tree, expected):
    keras.tree.map_structure(
        np.testing.assert_array_equal, to_numpy(tree), to_numpy(expected)
    )


@pytest.mark.parametrize(
    "policies",
    [
        ("float32", "float32", "float32"),
        ("mixed_bfloat16", "mixed_bfloat16", "mixed_bfloat16"),
        ("mixed_bfloat16", "float32", "bfloat16"),
    ],
)
def test_parts_are_equal_to_the_whole(policies):
    """Floats are rounded as inputs of the whole are, and nothing else is."""
    model, inputs = in_policies(*policies), batch()
    expected = model(inputs)
    assert_equal(apart(model, inputs), expected)
    for policy in POLICIES:
        around = Around(model, dtype=policy)
        around.autocast = False  # Else it rounds the pictures.
        assert_equal(around(inputs), expected)


@pytest.mark.once
def test_of_a_backbone_of_keras_hub():
    models = pytest.importorskip("keras_hub").models
    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2}
    sizes["intermediate_dim"] = 12
    for policy in POLICIES:
        keras.config.set_dtype_policy(policy)
        try:
            backbone = models.SigLIPBackbone(
                models.SigLIPVisionEncoder(4, image_shape=(8, 8, 3), **sizes),
                models.SigLIPTextEncoder(
                    vocabulary_size=20,
                    embedding_dim=8,
                    max_sequence_length=5,
                    **sizes,
                ),
            )
        finally:
            keras.config.set_dtype_policy("float32")
        model = HubDualEncoder(backbone, logit_scale=99.7, logit_bias=-12.9)
        inputs = batch()
        inputs["images"] = inputs["images"].astype("uint8")
        expected = model(inputs)
        assert_equal(apart(model, inputs), expected)
        # In bfloat16 the scale of 99.7 would be read as 99.5.
        assert_equal(Around(model, dtype="mixed_bfloat16")(inputs), expected)
    assert model.patch_sizes is None
    with pytest.raises(ValueError, match="`patch_sizes=`.*patch_size=8"):
        model.call_images(inputs["images"], patch_size=8)


@pytest.mark.once
def test_at_another_patch_size():
    model = SigLIP(8, 4, 20, 5, **SIZES, patch_sizes=(4, 8))
    expected = model(batch(), patch_size=8)
    assert_equal(apart(model, batch(), patch_size=8), expected)


class Tells(keras.layers.Layer):
    """Embeds anything as whether it is training."""

    def call(self, inputs, training=None):
        rows = keras.ops.reshape(inputs, (keras.ops.shape(inputs)[0], -1))
        value = {None: 0.5, False: -1.0, True: 1.0}[training]
        return keras.ops.full_like(
            keras.ops.cast(rows[:, :4], "float32"), value
        )

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 4)


@pytest.mark.parametrize("told", [None, False, True])
def test_training_is_that_of_the_layer_around(told):
    model = DualEncoder(Tells(), Tells())
    model(batch())
    around = Around(model)
    options = {} if told is None else {"training": told}
    whole = to_numpy(model(batch(), **options))
    pairs = to_numpy(around(batch(), **options))
    assert_equal(pairs, whole)
    for encode, name in (
        (model.call_images, "images"),
        (model.call_texts, "token_ids"),
    ):
        embedding = to_numpy(encode(batch()[name], training=told))
        expected = {None: 0.5, False: -1.0, True: 1.0}[told]
        np.testing.assert_array_equal(embedding, expected)


def test_losses_that_layers_add_are_kept_of_each_part():
    towers = [
        keras.Sequential(
            [keras.layers.Flatten(), keras.layers.ActivityRegularization(1.0)]
        )
        for _ in range(2)
    ]
    model = DualEncoder(*towers)
    inputs = {"images": np.ones((2, 3)), "token_ids": np.ones((2, 3))}
    around = Around(model)
    model(inputs)
    expected = [float(loss) for loss in model.losses]
    around(inputs)
    assert [float(loss) for loss in around.losses] == expected
    assert len(expected) == 2


def test_a_model_that_is_not_built():
    model = DualEncoder(Tells(), Tells())
    for call in (
        lambda: model.call_images(batch()["images"]),
        lambda: model.call_texts(batch()["token_ids"]),
        lambda: model.join(np.ones((2, 4)), np.ones((2, 4))),
    ):
        with pytest.raises(ValueError, match="is not. Call it on a batch"):
            call()
