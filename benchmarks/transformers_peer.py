"""A training step of SigLIP in `transformers`, and in Keras: torch, eager.

What a user would otherwise train: the same sizes, the same loss, `AdamW`. On
torch both are timed in parts: the products of forward and backward pass,
which are ours, and the optimizer, which is the user's to choose.
"""

import keras
import numpy as np
import torch
import transformers

from keras_jest.losses import SigmoidContrastiveLoss

LEARNING_RATE = 1e-4


class TransformersStep:
    """SigLIP of `transformers`, of the sizes of one of ours.

    Args:
        model: `keras_jest.models.SigLIP`.
        batch: dict of arrays, as that model reads it.
    """

    def __init__(self, model, batch):
        self.model = transformers.SiglipModel(config_of(model)).train()
        check_sizes(model, self.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), LEARNING_RATE
        )
        pixels = batch["images"].transpose(0, 3, 1, 2) / 127.5 - 1.0
        self.inputs = {
            "pixel_values": torch.from_numpy(pixels.astype("float32")),
            "input_ids": torch.from_numpy(batch["token_ids"].astype("int64")),
        }

    def forward_and_backward(self):
        self.optimizer.zero_grad()
        loss = self.model(**self.inputs, return_loss=True).loss
        loss.backward()
        return float(loss.detach())

    def update(self):
        self.optimizer.step()


class KerasStep:
    """The same of ours on torch, in the same two parts."""

    def __init__(self, model, batch):
        self.model, self.batch = model, batch
        self.loss = SigmoidContrastiveLoss()
        self.optimizer = keras.optimizers.AdamW(LEARNING_RATE)
        self.optimizer.build(model.trainable_variables)

    def forward_and_backward(self):
        self.model.zero_grad()
        batch = {
            name: keras.ops.convert_to_tensor(of)
            for name, of in self.batch.items()
        }
        loss = self.loss((), self.model(batch, training=True))
        loss.backward()
        return float(loss.detach())

    def update(self):
        variables = self.model.trainable_variables
        with torch.no_grad():
            self.optimizer.apply([of.value.grad for of in variables], variables)


def config_of(model):
    """The sizes of one of our models, as `transformers` calls them."""
    ours = model.get_config()
    width = ours["width"]
    sizes = {
        "hidden_size": width,
        "intermediate_size": ours["mlp_dim"] or 4 * width,
        "num_hidden_layers": ours["depth"],
        "num_attention_heads": ours["num_heads"] or max(1, width // 64),
    }
    texts = {
        "vocab_size": ours["vocabulary_size"],
        "max_position_embeddings": ours["sequence_length"],
        "projection_size": width,
    }
    images = {name: ours[name] for name in ("image_size", "patch_size")}
    return transformers.SiglipConfig(
        text_config=sizes | texts, vision_config=sizes | images
    )


def check_sizes(ours, theirs):
    """Raise unless both have the same number of parameters."""
    numbers = (
        sum(np.prod(of.shape) for of in ours.trainable_variables),
        sum(of.numel() for of in theirs.parameters()),
    )
    if numbers[0] != numbers[1]:
        raise ValueError(
            f"Two models of {numbers[0]:,d} and {numbers[1]:,d} parameters "
            "are not to be compared."
        )


def make_peer_steps(model, trainer, batch):
    """The timed functions by name; each blocks until its result is there.

    Args:
        model: `keras_jest.models.SigLIP`.
        trainer: a compiled `JESTModel` of another such model.
        batch: dict of arrays, a sub-batch.
    """
    theirs = TransformersStep(model, batch)
    steps = {
        "transformers: forward, backward": theirs.forward_and_backward,
        "transformers: optimizer": theirs.update,
        "ours: whole step": lambda: trainer.train_on_batch(batch),
    }
    if keras.backend.backend() == "torch":
        ours = KerasStep(model, batch)
        steps["ours: forward, backward"] = ours.forward_and_backward
        steps["ours: optimizer"] = ours.update
    return steps


def peer_ratios(seconds):
    """Ours over theirs, in parts where both are known."""
    passes = seconds["transformers: forward, backward"]
    whole = passes + seconds["transformers: optimizer"]
    ratios = {"whole step": seconds["ours: whole step"] / whole}
    for part in ("forward, backward", "optimizer"):
        ours = seconds.get(f"ours: {part}")
        if ours is not None:
            ratios[part] = ours / seconds[f"transformers: {part}"]
    return ratios
