"""Joint selection with whole matrices, written with care, in `keras.ops`.

It is what the streaming form of the library is timed against: the pair terms
of both models are computed once, and what was chosen enters as products of
a matrix and a vector.
"""

from keras import ops

from keras_jest.selection.draws import draw
from keras_jest.selection.draws import fold_in
from keras_jest.selection.draws import mark


def dense_selection(policy, loss, learner, reference, seed):
    """The picks of a `JointSelection` with the score "learnability".

    Args:
        policy: `JointSelection`.
        loss: `"sigmoid"` or `"softmax"`.
        learner: pairs of `n` rows, a dict of tensors.
        reference: pairs of `n` rows, a dict of tensors.
        seed: int32 scalar tensor.

    Returns:
        int32 tensor of shape `(policy.num_kept(n),)`.
    """
    start, add = FORMS[loss](learner, reference)
    num_rows = start.shape[0]
    drawn = ops.zeros((num_rows,), "bool")
    scores, picks = start, []
    for number, size in enumerate(policy.chunk_sizes(num_rows)):
        if picks:
            drawn = mark(drawn, picks[-1])
            scores = start + add(ops.cast(drawn, "float32"))
        chunk_seed = fold_in(seed, number)
        picks.append(draw(scores, policy.gain, size, chunk_seed, drawn))
    return ops.concatenate(picks)


def sigmoid_form(learner, reference):
    own = own_logits(learner), own_logits(reference)
    start = ops.softplus(-own[0]) - ops.softplus(-own[1])
    matrix = ops.softplus(logits(learner)) - ops.softplus(logits(reference))

    def add(drawn):
        return ops.matmul(matrix, drawn) + ops.matmul(drawn, matrix)

    return start, add


def softmax_form(learner, reference):
    """Exponentials are taken once: good for scales below 40 or so."""
    start = own_logits(reference) - own_logits(learner)
    exponentials = [
        (ops.exp(logits(pairs) - shift), shift)
        for pairs in (learner, reference)
        for shift in [ops.max(pairs["logit_scale"] + pairs["logit_bias"])]
    ]

    def log_sums(matrix, shift, drawn):
        over_texts = ops.log(ops.matmul(matrix, drawn))
        over_images = ops.log(ops.matmul(drawn, matrix))
        return 0.5 * (over_texts + over_images) + shift

    def add(drawn):
        of_learner, of_reference = (
            log_sums(matrix, shift, drawn) for matrix, shift in exponentials
        )
        return of_learner - of_reference

    return start, add


FORMS = {"sigmoid": sigmoid_form, "softmax": softmax_form}


def logits(pairs):
    images = pairs["image_embedding"] * pairs["logit_scale"][:, None]
    products = ops.matmul(images, ops.transpose(pairs["text_embedding"]))
    return products + pairs["logit_bias"][:, None]


def own_logits(pairs):
    products = pairs["image_embedding"] * pairs["text_embedding"]
    products = ops.sum(products, axis=1)
    return products * pairs["logit_scale"] + pairs["logit_bias"]
