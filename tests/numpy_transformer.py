"""The SigLIP towers in float64 NumPy, written out slowly.

Every function takes `weights`, a dict from the end of a variable's path to
its values, and a prefix.
"""

import math

import keras
import numpy as np


def weights_of(layer):
    """Values by path, without the name of the layer itself."""
    return {
        v.path.split("/", 1)[1]: keras.ops.convert_to_numpy(v).astype("float64")
        for v in layer.weights
    }


def layer_norm(weights, name, x):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    unit = (x - mean) / np.sqrt(variance + 1e-6)
    return unit * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def dense(weights, name, x):
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def gelu(x):
    return (
        0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    )


def mlp(weights, name, x):
    hidden = gelu(dense(weights, f"{name}/hidden", x))
    return dense(weights, f"{name}/output", hidden)


def attention(weights, name, query, tokens):
    """One example, one head and one query position at a time."""
    query_kernel = weights[f"{name}/query/kernel"]
    _, num_heads, head_dim = query_kernel.shape
    outputs = np.zeros_like(query)
    for example in range(len(query)):
        for position in range(query.shape[1]):
            answer = weights[f"{name}/attention_output/bias"].copy()
            for head in range(num_heads):
                q, k, v = (
                    x @ weights[f"{name}/{part}/kernel"][:, head]
                    + weights[f"{name}/{part}/bias"][head]
                    for part, x in (
                        ("query", query[example, position]),
                        ("key", tokens[example]),
                        ("value", tokens[example]),
                    )
                )
                logits = k @ q / math.sqrt(head_dim)
                shares = np.exp(logits - logits.max())
                mixed = (shares / shares.sum()) @ v
                kernel = weights[f"{name}/attention_output/kernel"][head]
                answer = answer + mixed @ kernel
            outputs[example, position] = answer
    return outputs


def block(weights, prefix, x):
    normalised = layer_norm(weights, f"{prefix}attention_norm", x)
    x = x + attention(weights, f"{prefix}attention", normalised, normalised)
    return x + mlp(
        weights, f"{prefix}mlp", layer_norm(weights, f"{prefix}mlp_norm", x)
    )


def attention_pooling(weights, prefix, tokens):
    probe = np.repeat(weights[f"{prefix}probe"], len(tokens), axis=0)
    y = attention(weights, f"{prefix}attention", probe, tokens)
    y = y + mlp(
        weights, f"{prefix}mlp", layer_norm(weights, f"{prefix}norm", y)
    )
    return y[:, 0]


def patch_embedding(weights, prefix, images):
    kernel = weights[f"{prefix}projection/kernel"]
    size, width = kernel.shape[0], kernel.shape[-1]
    tokens = []
    for top in range(0, images.shape[1] - size + 1, size):
        for left in range(0, images.shape[2] - size + 1, size):
            patch = images[:, top : top + size, left : left + size]
            flat = patch.reshape(len(images), -1)
            tokens.append(flat @ kernel.reshape(-1, width))
    tokens = np.stack(tokens, axis=1) + weights[f"{prefix}projection/bias"]
    return tokens + weights[f"{prefix}position_embedding"]


def token_embedding(weights, prefix, token_ids):
    table = weights[f"{prefix}tokens/embeddings"]
    return table[token_ids] + weights[f"{prefix}position_embedding"]


def image_transformer(weights, depth, images):
    images = np.asarray(images, "float64") / 127.5 - 1
    x = patch_embedding(weights, "embedding/", images)
    for index in range(depth):
        x = block(weights, f"block_{index}/", x)
    return attention_pooling(
        weights, "pooling/", layer_norm(weights, "norm", x)
    )


def text_transformer(weights, depth, token_ids):
    x = token_embedding(weights, "embedding/", token_ids)
    for index in range(depth):
        x = block(weights, f"block_{index}/", x)
    return dense(weights, "head", layer_norm(weights, "norm", x[:, -1]))


def unit_rows(x):
    norm = np.linalg.norm(np.asarray(x, "float64"), axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
