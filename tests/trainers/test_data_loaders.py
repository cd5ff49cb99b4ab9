"""Every kind of dataset that `fit` takes gives the same run."""

import warnings

import keras
import numpy as np
import pytest
from numpy_selection import joint_picks
from numpy_selection import logits_of
from small_models import Recorder
from small_models import cut
from small_models import make_model
from small_models import make_pool
from small_models import take
from small_models import weights_of

NUM_ROWS = {"whole": 40, "partial": 47, "smaller_than_the_sub_batch": 43}


def arrays(pool):
    return pool


def generator(pool):
    return ((batch,) for batch in cut(pool, 20))


def tf_data(pool):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(pool).batch(20)


def tf_data_of_tuples(pool):
    return tf_data(pool).map(lambda batch: (batch,))


def grain_map(pool):
    grain = pytest.importorskip("grain")
    rows = grain.MapDataset.range(len(pool["key"]))
    return rows.map(lambda row: take(pool, row)).batch(20)


def grain_iter(pool):
    return grain_map(pool).to_iter_dataset()


def grain_iter_of_tuples(pool):
    return grain_map(pool).map(lambda batch: (batch,)).to_iter_dataset()


class Batches(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        return self.batches[number]


def py_dataset(pool):
    return Batches(cut(pool, 20))


def py_dataset_of_tuples(pool):
    return Batches([(batch,) for batch in cut(pool, 20)])


class Rows:
    """A map-style torch dataset; travels to worker processes."""

    def __init__(self, pool):
        self.pool = pool

    def __len__(self):
        return len(self.pool["key"])

    def __getitem__(self, row):
        return take(self.pool, row)


class RowsInTuples(Rows):
    def __getitem__(self, row):
        return (take(self.pool, row),)


def torch_loader(pool, rows=Rows, **kwargs):
    data = pytest.importorskip("torch.utils.data")
    return data.DataLoader(rows(pool), batch_size=20, **kwargs)


def torch_loader_of_tuples(pool):
    return torch_loader(pool, RowsInTuples)


KINDS = [
    arrays,
    generator,
    tf_data,
    tf_data_of_tuples,
    grain_map,
    grain_iter,
    grain_iter_of_tuples,
    py_dataset,
    py_dataset_of_tuples,
    torch_loader,
    torch_loader_of_tuples,
]


@pytest.fixture(scope="module")
def model():
    """One that learns nothing, so that all runs start from the same."""
    return make_model(optimizer=keras.optimizers.SGD(0.0))


def run(model, dataset, **kwargs):
    """The keys of what a run keeps."""
    recorder = Recorder(model)
    model.draws.assign(0)
    kwargs = {"verbose": 0, "shuffle": False, "batch_size": 20, **kwargs}
    if not isinstance(dataset, dict):
        del kwargs["batch_size"]
    history = model.fit(dataset, **kwargs)
    return [step["key"].tolist() for step in recorder.steps], history.history


@pytest.fixture(scope="module")
def expected(model):
    """The same from NumPy: one chunk is independent selection."""
    parts = [weights_of(part) for part in (model.learner, model.reference)]
    runs = {}
    for size, num_rows in NUM_ROWS.items():
        runs[size] = []
        for step, batch in enumerate(cut(make_pool(num_rows), 20)):
            inputs = batch["images"], batch["token_ids"]
            learner, reference = (logits_of(*inputs, part) for part in parts)
            num_kept = min(5, len(batch["key"]))
            picks = joint_picks(learner, reference, num_kept, 1, 3, step)
            runs[size].append(batch["key"][picks].tolist())
    return runs


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("size", NUM_ROWS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dataset(kind, size, model, expected):
    keys, logs = run(model, kind(make_pool(NUM_ROWS[size])))
    assert keys == expected[size]
    assert len(keys[-1]) == min(5, NUM_ROWS[size] % 20 or 20)
    assert np.isfinite(logs["loss"][0])


def test_validation_and_prediction_on_a_loader_of_dicts(model):
    pool = make_pool(43)
    loader = torch_loader(pool)
    _, logs = run(model, pool, validation_data=loader)
    _, expected = run(model, pool, validation_data=(pool,))
    np.testing.assert_allclose(logs["val_loss"], expected["val_loss"], 1e-6)
    loss = model.evaluate(loader, verbose=0)
    np.testing.assert_allclose(loss, logs["val_loss"][0], rtol=1e-6)
    pairs = model.predict(loader, verbose=0)
    expected = model.predict(pool, batch_size=20, verbose=0)
    for key, values in expected.items():
        np.testing.assert_array_equal(pairs[key], values)
    assert isinstance(next(iter(loader)), dict)  # The user's own is as it was.


def test_grain_datasets_are_not_said_to_be_left_unshuffled(model):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "`shuffle=True` was passed")
        model.fit(grain_map(make_pool(40)), steps_per_epoch=2, verbose=0)


@pytest.mark.slow
def test_worker_processes(model, expected):
    loader = torch_loader(
        make_pool(43), num_workers=1, multiprocessing_context="spawn"
    )
    keys, _ = run(model, loader)
    assert keys == expected["smaller_than_the_sub_batch"]


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch traces nothing"
)
def test_one_trace_for_every_size():
    """Also where TensorFlow does not know the size of a batch before."""
    model = make_model()
    traces = []
    select = model.select
    model.select = lambda data: traces.append(data) or select(data)
    run(model, tf_data(make_pool(63)), epochs=2)
    assert len(traces) == 2
