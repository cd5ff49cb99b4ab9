"""What was done to the layers of a model comes back with it."""

import copy
import pickle

import keras
import numpy as np
import pytest
from check_layer import fill_by_formula
from check_layer import to_numpy
from hypothesis import HealthCheck
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies

from keras_jest.layers import TransformerBlock
from keras_jest.layers.sublayer_states import sublayer_paths
from keras_jest.models import DualEncoder
from keras_jest.models import ImageTransformer
from keras_jest.models import SigLIP
from keras_jest.models import TextTransformer

QUANTIZABLE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
)
SIZES = {"width": 8, "depth": 1, "num_heads": 2, "mlp_dim": 12}


def batch(n=3):
    random = np.random.default_rng(0)
    return {
        "images": random.integers(0, 256, (n, 8, 8, 3)).astype("uint8"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


def make_siglip():
    return SigLIP(8, 4, vocabulary_size=20, sequence_length=5, **SIZES)


def make_image():
    return ImageTransformer(8, 4, **SIZES)


def make_text():
    return TextTransformer(20, 5, **SIZES)


def make_dual_encoder():
    """Towers of a user's: Keras forgets what is inside its attention."""
    inputs = keras.Input((8, 8, 3))
    tokens = keras.layers.Reshape((16, 12))(inputs)
    tokens = keras.layers.MultiHeadAttention(2, 4)(tokens, tokens)
    tokens = TransformerBlock(2, 12)(tokens)
    pooled = keras.layers.GlobalAveragePooling1D()(tokens)
    texts = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(20, 12),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    model = DualEncoder(keras.Model(inputs, pooled), texts)
    model.build({"images": (None, 8, 8, 3), "token_ids": (None, 5)})
    return model


INPUTS = {
    make_siglip: lambda: batch(),
    make_image: lambda: batch()["images"],
    make_text: lambda: batch()["token_ids"],
    make_dual_encoder: lambda: batch(),
}


def freeze(layer):
    layer.trainable = False


def thaw(layer):
    layer.trainable = True


def freeze_first_weight(layer):
    for weight in layer.trainable_weights[:1]:
        weight.trainable = False


def adapt(layer):
    if hasattr(layer, "enable_lora") and not layer.lora_enabled:
        layer.enable_lora(2, lora_alpha=3)
        for weight in (layer._trainable_variables)[-2:]:
            values = 0.1 * np.sin(np.arange(np.prod(weight.shape)))
            weight.assign(values.reshape(weight.shape))


def quantize(mode):
    def quantize(layer):
        has_float = layer.quantization_mode is None
        is_known = (type(layer), mode) != (keras.layers.Embedding, "float8")
        if isinstance(layer, QUANTIZABLE) and has_float and is_known:
            layer.quantize(mode)

    quantize.__name__ = mode
    return quantize


def lower(layer):
    if layer.quantization_mode is None:
        layer.dtype_policy = "mixed_bfloat16"


ACTIONS = [
    freeze,
    freeze,
    thaw,
    freeze_first_weight,
    adapt,
    lower,
    quantize("int8"),
    quantize("int4"),
    quantize("float8"),
]


def do(model, actions):
    layers = [layer for _, layer in sublayer_paths(model)]
    for number, action in actions:
        action(layers[number % len(layers)])


def assert_same(model, again, inputs, **tolerance):
    for one, other in zip(model.weights, again.weights, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        assert one.trainable == other.trainable
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))
    paths = [dict(sublayer_paths(of)) for of in (model, again)]
    assert list(paths[0]) == list(paths[1])
    for path, layer in paths[0].items():
        assert layer.trainable == paths[1][path].trainable, path
        assert layer.dtype_policy == paths[1][path].dtype_policy, path
    shapes = [
        [v.shape for v in of.trainable_variables] for of in (model, again)
    ]
    assert shapes[0] == shapes[1]
    keras.tree.map_structure(
        np.testing.assert_array_equal,
        to_numpy(model(inputs)),
        to_numpy(again(inputs)),
    )


@example(make=make_dual_encoder, actions=[(54, adapt)])  # Its embedding.
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    make=strategies.sampled_from(list(INPUTS)),
    actions=strategies.lists(
        strategies.tuples(
            strategies.integers(0, 60), strategies.sampled_from(ACTIONS)
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_whatever_was_done_to_layers_comes_back(make, actions, tmp_path):
    keras.utils.set_random_seed(0)
    model = make()
    fill_by_formula(model)
    do(model, actions)
    path = tmp_path / "model.keras"
    model.save(path)
    assert_same(model, keras.saving.load_model(path), INPUTS[make]())


CHANGES = [
    (4, freeze),
    (6, adapt),
    (9, quantize("int8")),
    (14, adapt),
    (18, lower),
    (21, freeze_first_weight),
]


@pytest.mark.parametrize(
    "copied",
    [
        lambda model: type(model).from_config(model.get_config()),
        keras.models.clone_model,
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
    ],
)
def test_copies_have_it_too(copied):
    """Those with weights of their own get the weights first."""
    model = make_siglip()
    fill_by_formula(model)
    do(model, CHANGES)
    again = copied(model)
    again.set_weights(model.get_weights())
    assert_same(model, again, batch())


def test_a_layer_of_ours_tells_it_before_it_is_built():
    block = TransformerBlock(2, 12)
    block.build((None, 4, 8))
    block.mlp.hidden.trainable = False
    config = block.get_config()
    again = TransformerBlock.from_config(config)
    assert again.get_config() == config
    again.build((None, 4, 8))
    assert not again.mlp.hidden.trainable
    assert again.mlp.output_dense.trainable


def test_weight_files_keep_adapters(tmp_path):
    """And Keras' own merged kernels, for a model without adapters."""
    models = [make_siglip() for _ in range(3)]
    fill_by_formula(models[0])
    for model in models[:2]:
        do(model, [(6, adapt), (14, adapt)])
    models[0].save_weights(tmp_path / "one.weights.h5")
    for model in models[1:]:
        model.load_weights(tmp_path / "one.weights.h5")
    assert_same(models[0], models[1], batch())
    adapted, merged = (to_numpy(of(batch())) for of in (models[0], models[2]))
    # The adapters are added to the kernels in one of them: float32 sums in
    # another order, 6e-8 each, through all layers.
    for name, pairs in adapted.items():
        np.testing.assert_allclose(pairs, merged[name], rtol=1e-5, atol=1e-5)


def set_activation(model):
    model.image_encoder.blocks[0].mlp.hidden.activation = keras.ops.relu


def replace_block(model):
    model.text_encoder.blocks[0] = keras.layers.Dense(8)


def add_layer(model):
    model.text_encoder._tracker.unlock()
    model.text_encoder.bottleneck = keras.layers.Dense(8)


def replace_layer(model):
    model.text_encoder._tracker.unlock()
    model.text_encoder.head = keras.layers.Dense(8)


@pytest.mark.parametrize(
    "change, told",
    [
        (set_activation, "Dense has another activation"),
        (replace_block, "blocks has a Dense that is new"),
        (add_layer, "Dense_1 is new"),
        (replace_layer, "Dense_1 is new"),
    ],
)
def test_what_cannot_be_told_is_refused_when_it_is_saved(
    change, told, tmp_path
):
    model = make_siglip()
    change(model)
    with pytest.raises(ValueError, match=told):
        model.save(tmp_path / "model.keras")


def test_untouched_models_are_written_as_their_sizes():
    """Files of version 0.1.0 and of this one are alike, then."""
    for make in (make_siglip, make_image, make_text):
        assert "sublayers" not in make().get_config()
