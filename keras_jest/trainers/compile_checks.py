"""What a selecting model refuses, before anything is trained."""

import itertools
import numbers
import warnings

import keras

from keras_jest.models.precomputed_losses import PrecomputedLosses
from keras_jest.selection.joint_selection import JointSelection
from keras_jest.selection.selection_policy import is_count
from keras_jest.trainers.columns import check_names


def check_constructor(models, train_reference, seed, score_delay):
    """Raise unless a model can be made of these arguments."""
    check_models(models)
    check_outputs(**models)
    check_train_reference(train_reference, models["reference"])
    check_seed(seed)
    if score_delay not in (0, 1):
        raise ValueError(
            "`score_delay` must be 0, to score with the present weights, or "
            "1, to score with those before the latest update. "
            f"Received: score_delay={score_delay}"
        )


def check_models(models):
    """Raise if two of the models are one, or share what is trained."""
    given = [item for item in models.items() if item[1] is not None]
    for (role, model), (other_role, other) in itertools.combinations(given, 2):
        if model is other:
            raise ValueError(
                f"The {role} and the {other_role} are the same object, so "
                "their losses never differ. Make a second model and train "
                "it on good data, or load it from a file. "
                f"Received: {role}={other_role}={model}"
            )
        shared = shared_variables(model, other)
        if shared:
            raise ValueError(
                f"The {role} and the {other_role} share variables, which "
                "would be frozen with one or trained with both. Give each "
                f"layers of its own. Received: shared variables={shared}"
            )


def shared_variables(model, other):
    """Names of what is trained in one model and stands in both."""
    own = {id(variable) for variable in model.trainable_variables}
    shared = [v.path for v in other.variables if id(v) in own]
    own = {id(layer) for layer in model._flatten_layers()}
    return shared + [
        f"those of {layer.name}, not built yet"
        for layer in other._flatten_layers()
        if id(layer) in own and not layer.built
    ]


def check_train_reference(train_reference, reference):
    """Raise if there is no reference to train."""
    if train_reference and (reference is None or not has_weights(reference)):
        raise ValueError(
            "`train_reference=True` trains the reference on super-batches, "
            "so there must be one, with weights; set its `trainable` to True "
            "if it was frozen. "
            f"Received: reference={reference}"
        )


def has_weights(model):
    return not model.built or bool(model.trainable_variables)


def check_seed(seed):
    """Raise unless a seed fits into the int32 that draws are made of."""
    if seed is None:
        return
    is_int = isinstance(seed, numbers.Integral)
    if not is_int or not -(2**31) <= seed < 2**31:
        raise ValueError(
            "`seed` must be an int from -2**31 to 2**31 - 1, or None for a "
            f"random one. Received: seed={seed}"
        )


def check_outputs(learner, **others):
    """Raise if one loss and the same targets cannot fit all outputs.

    Only models that know their outputs are compared, and no pairs, whose
    embeddings may be of any width.
    """
    expected = output_shape(learner)
    for role, other in others.items():
        shape = output_shape(other)
        if None not in (expected, shape) and shape != expected:
            raise ValueError(explained_outputs(role, shape, expected))


def check_same_outputs(role, outputs, expected):
    """Raise, while the step is traced, if outputs are unlike a learner's."""
    shapes = [getattr(of, "shape", None) for of in (outputs, expected)]
    if None not in shapes and shapes[0][1:] != shapes[1][1:]:
        shapes = [tuple(shape) for shape in shapes]
        raise ValueError(explained_outputs(role, *shapes))


def explained_outputs(role, shape, expected):
    return (
        f"The outputs of the {role} do not fit the loss, which the learner "
        f"has in common with it. Received: outputs of shape {shape}, and "
        f"{expected} of the learner. Give both as many outputs as there are "
        "classes."
    )


def output_shape(model):
    outputs = getattr(model, "outputs", None) or ()
    return tuple(outputs[0].shape) if len(outputs) == 1 else None


def check_loss(loss, score_loss, loss_weights, metrics):
    """Raise unless losses give one value per example and metrics fit them."""
    if loss_weights is not None:
        raise ValueError(
            "There is one loss, so `loss_weights` would do nothing. "
            f"Received: loss_weights={loss_weights}. Leave it out."
        )
    for name, value in (("loss", loss), ("score_loss", score_loss)):
        is_missing = value is None and name == "loss"
        if is_missing or not isinstance(value, keras.losses.Loss | None):
            raise ValueError(
                f"`{name}` must be a `keras.losses.Loss` with one value per "
                "example, such as "
                "`keras_jest.losses.SigmoidContrastiveLoss()` or "
                "`keras.losses.SparseCategoricalCrossentropy()`. "
                f"Received: {name}={value!r}"
            )
    if metrics and hasattr(loss, "given"):
        raise ValueError(
            "Keras metrics compare targets with predictions, and pairs have "
            "no targets. Use a callback such as "
            "`keras_jest.callbacks.RetrievalEvaluation` instead. "
            f"Received: {metrics}"
        )


def check_schedule(first_step, last_step, scoring_batch_size):
    """Raise unless the numbers of a schedule make sense."""
    last = 2**31 if last_step is None else last_step
    are_ints = isinstance(first_step, numbers.Integral) and isinstance(
        last, numbers.Integral
    )
    if not are_ints or not 0 <= first_step < last:
        raise ValueError(
            "Selection by score runs from `first_step`, an int of at least 0, "
            "to the step before `last_step`, a larger int or None. Received: "
            f"first_step={first_step}, last_step={last_step}"
        )
    if scoring_batch_size is not None and not is_count(scoring_batch_size):
        raise ValueError(
            "`scoring_batch_size` must be an int of at least 1, or None for "
            "the whole super-batch at once. "
            f"Received: scoring_batch_size={scoring_batch_size}"
        )


def check_policy(policy, model, loss, is_scheduled):
    """Raise unless a policy can run on a model with what it has."""
    if policy is None:
        return
    check_names(policy)
    if isinstance(policy, JointSelection) and not hasattr(loss, "given"):
        warnings.warn(
            "`JointSelection` picks rows that teach together, and with a loss "
            "of single examples none does: it is independent selection in "
            f"{policy.num_chunks} draws. Take selection='independent'. "
            f"Received: loss={type(loss).__name__}",
            stacklevel=3,
        )
    is_stored = isinstance(model.reference, PrecomputedLosses)
    if (
        is_stored
        and isinstance(policy, JointSelection)
        and "reference" in policy.needs
        and hasattr(loss, "given")
    ):
        raise ValueError(
            "Joint selection asks for losses given the rows chosen so far, "
            "and stored losses are those of each pair by itself. Store "
            "embeddings with `keras_jest.models.precompute`, or use "
            f"selection='independent'. Received: reference={model.reference}"
        )
    if model.reference is None and "reference" in policy.needs:
        raise ValueError(
            f"{type(policy).__name__} reads the losses of a reference. "
            "Received: reference=None. Give the model a reference, or "
            "choose a score without one, such as score='hard_learner'."
        )
    if not isinstance(policy, keras.layers.Layer):
        return
    if policy is not model.policy:
        raise ValueError(
            "A policy with a memory must be known to the model that saves "
            "it: pass the same layer to the constructor, "
            f"`{type(model).__name__}(..., policy=layer)`. Received: "
            f"selection={policy}, policy={model.policy}"
        )
    if is_scheduled:
        raise ValueError(
            "`first_step` and `last_step` skip steps, and a policy with a "
            "memory must see them all. Leave them out and let the policy "
            f"count. Received: selection={policy}"
        )


def check_store(reference, data):
    """Raise if the data bring what another store holds of another reference.

    Args:
        reference: Keras model or `None`.
        data: what `fit` is given.
    """
    expected = getattr(reference, "store_digest", None)
    received = getattr(data, "store_digest", None)
    if None not in (expected, received) and expected != received:
        raise ValueError(
            "The reference reads another store than the one that is joined "
            "to the batches, and would take one's scale and bias for the "
            "other's. Make both of one `keras_jest.data.ReferenceStore`: "
            "`from_store(store)` and `super_batches(..., reference=store)`. "
            f"Received: stores with the digests {expected} and {received}"
        )


def check_super_batch_size(policy, num_rows):
    """Raise, while the step is traced, if it cannot fill a sub-batch."""
    size = getattr(policy, "sub_batch_size", None)
    if size is not None and size > num_rows:
        raise ValueError(
            "The first super-batch has fewer rows than `sub_batch_size`. "
            f"Received: sub_batch_size={size}, super-batch={num_rows}. "
            "Yield larger batches, or keep fewer rows."
        )
