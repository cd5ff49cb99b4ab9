"""Run by test_jax.py in a process of its own; prints one line of JSON."""

import json
import re
import tempfile

import jax
import keras
import numpy as np
import pyarrow.parquet
from small_models import WIDTH
from small_models import Recorder
from small_models import cut
from small_models import fit
from small_models import make_classifier
from small_models import make_dual_encoder
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool
from small_models import make_towers
from small_models import set_weights_by_formula
from small_models import weights_of

from keras_jest import ClassAct
from keras_jest import FlexiJEST
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest.callbacks import SelectionLog
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder

POOL = make_pool(96)
HIDDEN = 53
lay_out = keras.distribution.distribute_tensor


def make(sub_batch_size=20, **kwargs):
    def hidden():
        return [keras.layers.Dense(HIDDEN, "relu")]

    policy = JointSelection(sub_batch_size=sub_batch_size, num_chunks=2)
    return make_model(
        make_dual_encoder(0.0, hidden()),
        make_dual_encoder(1.0, hidden()),
        selection=policy,
        **kwargs,
    )


def by_fit():
    model = make()
    recorder = Recorder(model)
    fit(model, POOL, batch_size=48)
    return {"picks": recorder.picks, "weights": weights_of(model.learner)}


def make_flexi(sub_batch_size=24):
    """Towers of pictures that can be shrunk, scored and half trained so."""

    def towers():
        images = keras.Sequential(
            [
                keras.Input((None, None, 3)),
                keras.layers.Conv2D(4, 2, activation="tanh"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(HIDDEN, "relu"),
                keras.layers.Dense(WIDTH),
            ]
        )
        return DualEncoder(images, make_towers()[1])

    learner, reference = towers(), towers()
    for offset, model in enumerate((learner, reference)):
        model.build({"images": (None, 4, 4, 3), "token_ids": (None, 3)})
        set_weights_by_formula(model, float(offset))
    model = FlexiJEST(learner, reference, coarse_size=2, seed=3)
    policy = JointSelection(sub_batch_size=sub_batch_size, num_chunks=2)
    optimizer = keras.optimizers.SGD(0.1)
    model.compile(optimizer, SigmoidContrastiveLoss(), policy)
    return model


def with_pictures(pool):
    rows = np.arange(len(pool["key"]))[:, None]
    pictures = np.sin(0.1 * rows * np.arange(48) + rows**2)
    return {**pool, "images": pictures.reshape(-1, 4, 4, 3).astype("float32")}


def by_flexi_fit():
    model = make_flexi()
    recorder = Recorder(model)
    fit(model, with_pictures(POOL), batch_size=48)
    return {"picks": recorder.picks, "weights": weights_of(model.learner)}


def by_one_step(model, pool=POOL):
    """One step, compiled by hand so that its program can be read."""
    model({key: rows[:4] for key, rows in pool.items()})
    model.optimizer.build(model.trainable_variables)
    state = model._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
    )
    layout = keras.distribution.distribution().get_data_layout
    data = {
        key: lay_out(jax.numpy.asarray(rows), layout(rows.shape))
        for key, rows in cut(pool, 48)[0].items()
    }
    step = jax.jit(model.train_step).lower(state, data).compile()
    logs, _ = step(state, data)
    widths = re.findall(rf"f32\[(\d+),{HIDDEN}\]", step.as_text())
    return {
        "picks": [np.asarray(logs["chosen"]["picks"]).tolist()],
        "rows_of_a_device": sorted({int(rows) for rows in widths}),
    }


def error_of(method, num_rows, sub_batch_size=20):
    model = make(sub_batch_size=sub_batch_size)
    try:
        method(model, make_pool(num_rows), batch_size=num_rows)
    except ValueError as error:
        return str(error)


def class_act():
    """All three models are trained, and scored one step late; with a log."""
    model = ClassAct(
        make_classifier(),
        make_classifier(2.0),
        make_classifier(1.0),
        train_reference=True,
        seed=3,
        score_delay=1,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    policy = IndependentSelection(sub_batch_size=20)
    model.compile(keras.optimizers.Adam(0.1), loss=loss, selection=policy)
    inputs, labels, _ = make_labelled(144)
    with tempfile.TemporaryDirectory() as folder:
        log = SelectionLog(f"{folder}/picks.parquet")
        fit(model, inputs, y=labels, batch_size=48, callbacks=[log])
        picks = pyarrow.parquet.read_table(log.path)["row"].to_pylist()
    return {"picks": picks, "weights": weights_of(model)}


def distance(first, second):
    pairs = zip(first.pop("weights"), second.pop("weights"), strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def main():
    assert len(jax.devices()) == 4
    runs = {"one_device": by_fit(), "class_act": class_act()}
    runs["flexi"] = by_flexi_fit()
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    runs["four_devices"] = by_fit()
    runs["distance"] = distance(runs["one_device"], runs["four_devices"])
    runs["class_act_on_four"] = class_act()
    runs["class_act_distance"] = distance(
        runs["class_act"], runs["class_act_on_four"]
    )
    runs["flexi_on_four"] = by_flexi_fit()
    runs["flexi_distance"] = distance(runs["flexi"], runs["flexi_on_four"])
    runs["step"] = by_one_step(make())
    runs["step_in_parts"] = by_one_step(make(scoring_batch_size=16))
    runs["flexi_step"] = by_one_step(make_flexi(), with_pictures(POOL))
    runs["errors"] = {
        "super_batch": error_of(fit, 47),
        "sub_batch": error_of(fit, 48, 18),
        "evaluation": error_of(JESTModel.evaluate, 47),
        "prediction": error_of(JESTModel.predict, 47),
    }
    try:
        fit(make_flexi(20), with_pictures(POOL), batch_size=48)
    except ValueError as error:
        runs["flexi_error"] = str(error)
    keras.distribution.distribute_tensor = lambda tensor, layout: tensor
    runs["step_not_laid_out"] = by_one_step(make())
    print(json.dumps(runs))  # noqa: T201


main()
