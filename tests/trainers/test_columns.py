"""Policies that read columns of the batch."""

import keras
import numpy as np
import pytest
from counted import Counted
from small_models import Recorder
from small_models import fit
from small_models import make_classifier
from small_models import make_dual_encoder
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool
from small_models import weights_of

from keras_jest import ConceptBalance
from keras_jest import FlexiJEST
from keras_jest import JESTModel
from keras_jest import SelectionPolicy
from keras_jest.callbacks import ComputeLedger
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.selection import policies


class Largest(SelectionPolicy):
    """The rows with the largest numbers in one column, plus another's."""

    needs = ()
    columns = ("size", "bonus")

    def select(self, learner, reference, seed, size, bonus):
        assert size.shape == (20,) and bonus.shape == (20, 2)
        size = keras.ops.add(size, keras.ops.sum(bonus, axis=1))
        num_kept = self.num_kept(learner.values.shape[0])
        return keras.ops.argsort(-size)[:num_kept]


LARGEST = Largest(sub_batch_size=5)


def sized(num_rows=40):
    size = (np.arange(num_rows) * 7 % 40).astype("float32")
    bonus = np.zeros((num_rows, 2), "float32")
    bonus[3, 1] = 100.0
    return make_pool(num_rows) | {"size": size, "bonus": bonus}


def largest_of(pool):
    size = pool["size"] + pool["bonus"].sum(axis=1)
    return [np.argsort(-size[rows])[:5].tolist() for rows in np.split(ROWS, 2)]


ROWS = np.arange(40)


def test_a_policy_gets_the_columns_that_it_names():
    model = make_model(selection=LARGEST)
    recorder = Recorder(model)
    pool = sized()
    fit(model, pool)
    assert recorder.picks == largest_of(pool)


@pytest.mark.slow
def test_uniform_steps_of_a_schedule_read_no_columns():
    model = make_model(selection=LARGEST, first_step=1)
    recorder = Recorder(model)
    pool = sized()
    fit(model, pool)
    expected = largest_of(pool)
    assert recorder.picks[0] != expected[0]
    assert recorder.picks[1] == expected[1]


@pytest.fixture(scope="module")
def model():
    return make_model(selection=LARGEST)


@pytest.mark.parametrize(
    "lacking, message",
    [
        (("size",), r"Largest reads .*lacks \['size'\].*columns=\.\.\."),
        (("size", "bonus"), r"lacks \['size', 'bonus'\]"),
    ],
)
def test_a_batch_lacks_a_column(lacking, message, model):
    before = weights_of(model)
    pool = {name: of for name, of in sized().items() if name not in lacking}
    for call in (fit, JESTModel.train_on_batch):
        with pytest.raises(ValueError, match=message):
            call(model, pool)
        for old, new in zip(before, weights_of(model), strict=True):
            np.testing.assert_array_equal(old, new)
    # What is not selected from needs no columns.
    model.evaluate(make_pool(20), batch_size=20, verbose=0)
    assert len(model.predict(make_pool(20), verbose=0)["logit_scale"]) == 20


@pytest.mark.once
def test_batches_that_are_no_dict():
    model = JESTModel(make_classifier())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss, selection=LARGEST)
    x, y, _ = make_labelled()
    with pytest.raises(ValueError, match="must be dicts.*Received: inputs of"):
        model.fit(x, y, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    "columns, message",
    [
        (("key",), "A policy sees no keys"),
        (("size", "key"), "A policy sees no keys"),
        ("size", r"must be a tuple of names.*columns='size'"),
        ((0,), r"must be a tuple of names.*columns=\(0,\)"),
    ],
)
def test_names_that_are_refused(columns, message):
    policy = Largest()
    policy.columns = columns
    with pytest.raises(ValueError, match=message):
        make_model(selection=policy)
    with pytest.raises(ValueError, match=message):
        fit(make_model(), sized(), selection=policy)


class LargestOfHard(Largest):
    needs = ("learner",)


@pytest.mark.once
def test_scores_are_compared_with_columns():
    images = keras.Input((None, None, 3), name="images")
    outputs = keras.layers.GlobalAveragePooling2D()(images)
    learner = keras.Model({"images": images}, keras.layers.Dense(3)(outputs))
    model = FlexiJEST(learner, coarse_size=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss, selection=LargestOfHard())
    pool = sized(20) | {"images": np.ones((20, 4, 4, 3), "float32")}
    agreement = model.compare_scores((pool, np.arange(20) % 3))
    assert agreement["equal_picks"] == 1
    del pool["size"]
    with pytest.raises(ValueError, match="lacks"):
        model.compare_scores((pool, np.arange(20) % 3))


# Concept balance, which has a memory, in runs.


def shown(num_rows=40, first=0):
    rows = np.arange(first, first + num_rows)
    concepts = np.stack([rows**2 % 7, np.where(rows % 3, -1, rows % 5)], 1)
    return make_pool(num_rows, first) | {"concepts": concepts.astype("int32")}


def balanced(learner=None, **kwargs):
    policy = ConceptBalance(7, sub_batch_size=5, num_chunks=2)
    return make_model(learner, policy=policy, selection=policy, **kwargs)


def counts_of(model):
    return keras.ops.convert_to_numpy(model.policy.counts).tolist()


def counted_by_hand(picks, pool):
    counts = np.zeros(7, int)
    batches = np.split(pool["concepts"], 2)
    for rows, concepts in zip(picks, batches, strict=True):
        for row in rows:
            for concept in set(concepts[row].tolist()) - {-1}:
                counts[concept] += 1
    return counts.tolist()


def test_nothing_is_scored():
    layers = Counted(), Counted()
    learner = make_dual_encoder(0.0, [layers[0]])
    model = balanced(learner, reference=make_dual_encoder(1.0, [layers[1]]))
    for layer in layers:
        layer.reset()
    pool, recorder = shown(), Recorder(model)
    fit(model, pool)
    # One training pass of each of two steps.
    assert [layer.count() for layer in layers] == [2, 0]
    assert counts_of(model) == counted_by_hand(recorder.picks, pool)
    ledger = ComputeLedger(verbose=0)
    fit(model, pool, callbacks=[ledger])
    last = ledger.record["epochs"][-1]
    assert (last["examples_trained"], last["examples_scored"]) == (10, 0)
    assert last["flops"]["learner training"] == last["flops"]["total"] > 0


@pytest.mark.once
def test_columns_feed_no_model():
    """Keras itself would feed `concepts`, the first of a dict, to `images`."""
    image = keras.Input((6,), name="images")
    seen = []

    class Seen(keras.layers.Layer):
        def call(self, inputs):
            seen.append(tuple(inputs.shape[1:]))
            return inputs

    outputs = keras.layers.Dense(3)(Seen()(image))
    policy = ConceptBalance(7, sub_batch_size=5)
    model = JESTModel(keras.Model({"images": image}, outputs), policy=policy)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss, selection=policy)
    pool = {name: shown()[name] for name in ("concepts", "images")}
    _, y, _ = make_labelled()
    model.fit(pool, y, batch_size=20, verbose=0)
    model.evaluate(pool, y, verbose=0)
    assert set(seen) == {(6,)}


def test_a_file_goes_on_with_equal_picks(tmp_path):
    model = balanced()
    fit(model, shown())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.selection is loaded.policy
    assert counts_of(loaded) == counts_of(model)
    recorders = Recorder(model), Recorder(loaded)
    for each in (model, loaded):
        fit(each, shown(first=100))
    assert len(recorders[0].picks) == 2
    assert recorders[0].picks == recorders[1].picks
    assert counts_of(loaded) == counts_of(model)
    assert sum(counts_of(model)) > 20
    forgetful = balanced()
    forgetful.draws.assign(2)
    recorder = Recorder(forgetful)
    fit(forgetful, shown(first=100))
    assert recorder.picks != recorders[0].picks


@pytest.mark.once
def test_a_run_is_the_same_whatever_was_made_before():
    """Layers are counted, and a stopped run would be taken for another."""
    first, second = balanced(), balanced()
    assert first.policy.name != second.policy.name
    settings = [of.get_selection_settings() for of in (first, second)]
    assert settings[0] == settings[1]
    assert settings[0]["selection"]["config"]["num_concepts"] == 7


def test_concepts_out_of_range():
    """In the first batch before it is trained on, else after the epoch."""
    model = balanced()
    before = weights_of(model)
    pool = shown()
    pool["concepts"][30, 0] = 7
    message = r"1 others in 1 rows.*as 7; rows \[10\]"
    with pytest.raises(ValueError, match=message):
        fit(model, {name: of[20:] for name, of in pool.items()})
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="Received: 1 others in steps"):
        fit(model, pool, epochs=1)
    fit(model, shown())


def interrupt(batch, logs):
    if batch == 1:
        raise KeyboardInterrupt


def break_off(model):
    """Two steps, a concept of the second out of range, and no end."""
    pool = shown(80)
    pool["concepts"][30, 0] = 7
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(model, pool, callbacks=[stop])
    assert keras.ops.convert_to_numpy(model.policy.num_outside) == 1


def test_a_run_is_not_blamed_for_one_that_broke_off():
    model, fresh = balanced(), balanced()
    break_off(model)
    recorder = Recorder(model)
    assert len(fit(model, shown())["loss"]) == 1
    assert len(recorder.picks) == 2
    assert keras.ops.convert_to_numpy(model.policy.num_outside) == 0
    # What was trained on is not forgotten.
    fit(fresh, shown())
    assert sum(counts_of(model)) > sum(counts_of(fresh)) > 0


def test_nor_is_a_run_with_a_policy_for_it_alone():
    model = balanced()
    break_off(model)
    fit(model, shown(), selection=None)
    model.evaluate(shown(), batch_size=20, verbose=0)
    break_off(model)
    model.compile("sgd", loss=SigmoidContrastiveLoss(), selection=None)
    fit(model, shown(), selection=model.policy)


def test_faults_of_a_run_are_told_after_one_that_broke_off():
    model, pool = balanced(), shown()
    break_off(model)
    pool["concepts"][30:32, 0] = 7
    with pytest.raises(ValueError, match="Received: 2 others in steps"):
        fit(model, pool)


@pytest.mark.once
def test_a_memory_must_be_known_and_not_scheduled():
    with pytest.raises(ValueError, match="memory must be known"):
        make_model(selection=ConceptBalance(7))
    with pytest.raises(ValueError, match="must see them all"):
        balanced(first_step=2)
    with pytest.raises(ValueError, match="`selection` must be one of"):
        policies.get(ConceptBalance)
