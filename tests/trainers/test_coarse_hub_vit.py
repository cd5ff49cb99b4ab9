"""A ViT of keras-hub, whose positions a user resizes, seen coarsely."""

import keras
import numpy as np
import pytest
from keras import ops
from small_models import Recorder
from small_models import set_weights_by_formula
from small_models import to_numpy

from keras_jest import FlexiJEST
from keras_jest import IndependentSelection
from keras_jest.layers.resize_images import resize_images

keras_hub = pytest.importorskip("keras_hub")

LOSS = keras.losses.SparseCategoricalCrossentropy(
    from_logits=True, reduction="mean"
)


@keras.saving.register_keras_serializable("test_coarse_hub_vit")
class ResizedViT(keras.Model):
    """A backbone of keras-hub whose positions follow the picture's size."""

    def __init__(self, backbone, num_classes=3, **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.embed, self.encode = backbone.layers[1:3]
        self.head = keras.layers.Dense(num_classes)

    def call(self, images):
        patches = self.embed.patch_embedding(ops.cast(images, "float32"))
        grid = tuple(patches.shape[1:3])
        own = self.embed.position_embedding(
            ops.arange(self.embed.num_positions)
        )
        old = self.embed.image_size[0] // self.embed.patch_size[0]
        resized = ops.image.resize(
            ops.reshape(own[1:], (old, old, -1)), grid, antialias=True
        )
        positions = ops.concatenate(
            [own[:1], ops.reshape(resized, (-1, own.shape[-1]))]
        )
        token = ops.tile(self.embed.class_token, (ops.shape(images)[0], 1, 1))
        tokens = ops.reshape(
            patches, (-1, grid[0] * grid[1], patches.shape[-1])
        )
        tokens = ops.concatenate([token, tokens], axis=1) + positions
        return self.head(self.encode(tokens)[:, 0])

    def get_config(self):
        backbone = keras.saving.serialize_keras_object(self.backbone)
        return {**super().get_config(), "backbone": backbone}

    @classmethod
    def from_config(cls, config):
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})


def make_backbone():
    return keras_hub.models.ViTBackbone(
        image_shape=(16, 16, 3),
        patch_size=4,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=12,
    )


def make_learner():
    learner = ResizedViT(make_backbone())
    learner(np.zeros((1, 16, 16, 3), "float32"))
    set_weights_by_formula(learner, 0.0)
    return learner


def make_model(learner):
    model = FlexiJEST(learner, coarse_size=8, seed=0)
    policy = IndependentSelection(0.5, score="hard_learner", gain=float("inf"))
    model.compile(keras.optimizers.SGD(0.1), loss=LOSS, selection=policy)
    return model


def make_pool(num_rows=8):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (num_rows, 16, 16, 3)).astype("float32")
    return images, rng.integers(0, 3, num_rows).astype("int32")


def test_the_wrapper_at_its_own_size_is_the_backbone():
    learner, (images, _) = make_learner(), make_pool()
    expected = learner.head(learner.backbone(images)[:, 0])
    np.testing.assert_allclose(
        # Resizing to the same size may round, and so do twenty sums after it.
        to_numpy(learner(images)),
        to_numpy(expected),
        rtol=1e-4,
        atol=1e-5,
    )


def test_rows_are_chosen_by_what_is_lost_on_small_pictures():
    learner, (images, labels) = make_learner(), make_pool()
    losses = keras.losses.sparse_categorical_crossentropy(
        labels, learner(resize_images(images, 8)), from_logits=True
    )
    expected = np.argsort(-to_numpy(losses))[:4]
    model = make_model(learner)
    recorder = Recorder(model)
    model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
    assert [sorted(picks) for picks in recorder.picks] == [sorted(expected)]


def test_it_is_trained_on_two_sizes_and_saved(tmp_path):
    learner, (images, labels) = make_learner(), make_pool()
    model = make_model(learner)
    before = [to_numpy(of).copy() for of in learner.trainable_variables]
    model.fit(images, labels, batch_size=8, verbose=0)
    moved = [
        np.abs(to_numpy(of) - old).max() > 0
        for of, old in zip(learner.trainable_variables, before, strict=True)
    ]
    # The bias of keys alone has no gradient.
    assert sum(moved) >= len(moved) - 1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )


def test_a_backbone_alone_is_refused_by_name():
    images, labels = make_pool()
    backbone = make_backbone()
    features = backbone(backbone.inputs)
    head = keras.layers.Dense(3)(features[:, 0])
    learner = keras.Model(backbone.inputs, head)
    with pytest.raises(ValueError, match="cannot see pictures of 8 pixels"):
        make_model(learner).fit(images, labels, batch_size=8, verbose=0)
