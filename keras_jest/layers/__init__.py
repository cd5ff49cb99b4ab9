"""What Keras lacks: the layers of the SigLIP towers."""

from keras_jest.layers.attention_pooling import AttentionPooling
from keras_jest.layers.mlp import MLP
from keras_jest.layers.patch_embedding import PatchEmbedding
from keras_jest.layers.token_embedding import TokenEmbedding
from keras_jest.layers.transformer_block import TransformerBlock
