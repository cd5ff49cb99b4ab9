"""A small run over rows that are shuffled anew in each pass, to be stopped."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / "trainers"))

import grain
import keras
import pyarrow.parquet
from small_models import make_dual_encoder
from small_models import make_model
from small_models import make_pool
from small_models import take
from small_models import to_numpy

from keras_jest import IndependentSelection
from keras_jest.callbacks import BackupAndRestore
from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.callbacks import SelectionLog
from keras_jest.data.super_batch_dataset import SuperBatchDataset

NUM_ROWS = 50
POOL = make_pool(NUM_ROWS)
ROWS = [take(POOL, row) for row in range(NUM_ROWS)]


class Stop(keras.callbacks.LambdaCallback):
    """Calls a function after so many steps of a process."""

    def __init__(self, num_steps, end):
        super().__init__(on_train_batch_end=self.count)
        self.num_left, self.end = num_steps, end

    def count(self, batch, logs):
        self.num_left -= 1
        if self.num_left == 0:
            self.end()


def make_dataset(batch_size=10, num_epochs=100, seed=0):
    rows = grain.MapDataset.source(ROWS).seed(seed).shuffle()
    return SuperBatchDataset(
        rows.repeat(num_epochs),
        batch_size,
        drop_remainder=False,
        num_workers=0,
        fingerprint=lambda: {"seed": seed},
    )


def make_run_model(seed=3, image_layers=(), **kwargs):
    """With dropout: its seeds are no weights, and must be kept, too."""
    dropout = keras.layers.Dropout(0.2, seed=5)
    kwargs = {
        "optimizer": keras.optimizers.Adam(0.01),
        "selection": IndependentSelection(sub_batch_size=4),
        **kwargs,
    }
    learner = make_dual_encoder(image_layers=[dropout, *image_layers])
    return make_model(learner, seed=seed, **kwargs)


def run(folder, model=None, dataset=None, others=(), save_freq=2, **kwargs):
    """Run, or go on, beside everything that knows how far it has come.

    Returns:
        Tuple of the model and a dict of what must not depend on stops.
    """
    model = model or make_run_model()
    evaluation = RetrievalEvaluation(POOL, every=3)
    stopping = keras.callbacks.EarlyStopping("loss", patience=9)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.7)
    log = folder / "picks.parquet"
    history = model.fit(
        dataset or make_dataset(),
        validation_data=(POOL,),
        callbacks=[
            evaluation,
            SelectionLog(log, keep_seen=True),
            stopping,
            plateau,
            BackupAndRestore(folder / "backup", save_freq=save_freq),
            *others,
        ],
        **{"verbose": 0, "epochs": 3, "steps_per_epoch": 4, **kwargs},
    )
    return {
        "values": values_of(model),
        "history": (history.epoch, history.history),
        "evaluation": evaluation.history,
        "stopping": (stopping.wait, stopping.best, stopping.best_epoch),
        "plateau": (plateau.wait, plateau.best),
        "log": pyarrow.parquet.read_table(log).to_pydict(),
        "seen": pyarrow.parquet.read_table(f"{log}.steps").to_pydict(),
    }


def values_of(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [to_numpy(of.value).tolist() for of in variables]
