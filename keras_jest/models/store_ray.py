"""Ray actors, of one machine or many, that build a store together."""

import pickle

import keras
import numpy as np

from keras_jest.data.require import require
from keras_jest.models.part_maker import PartMaker
from keras_jest.models.portable_error import portable_error

EXTRA = "keras-jest[ray]"
# Two actors of one CPU each would leave none of two to what feeds them.
OPTIONS = {"num_cpus": 0.5}


class StoreActors:
    """Builds the parts of a store by Ray Data.

    Ray starts an actor again that has died, on another machine if need be,
    and makes its part anew.

    Args:
        job: `StoreJob`, of a folder that all machines share.
        num_workers: int, how many actors.
        options: dict or `None`, what each actor needs, as `ray.remote` takes
            it.
    """

    def __init__(self, job, num_workers, options):
        self.job, self.num_workers = job, num_workers
        self.options = with_backend({**OPTIONS, **(options or {})})
        self.ray = require("ray", EXTRA)
        require("ray.data", EXTRA)

    def __enter__(self):
        # One call a process: it would else keep the memory of its device.
        describe = self.ray.remote(max_calls=1, **self.options)(describe_job)
        try:
            description = self.ray.get(describe.remote(self.job))
        except self.ray.exceptions.RayError as error:
            raise ValueError(
                "Expected a reference, records and a tokenizer that Ray can "
                "send to its actors: modules that they are from must be on "
                "all machines (`ray.init(runtime_env=...)` brings them "
                f"there). Received: {error}"
            ) from error
        if isinstance(description, Exception):
            raise description
        self.description = description
        return self

    def __exit__(self, *_):
        """Ray ends the actors when their data set is at its end."""

    def make_parts(self, numbers, metadata):
        """As `PartMaker.make_parts`, in no order."""
        data = self.ray.data
        items = [{"part": number} for number in numbers]
        if not items:
            return
        dataset = data.from_items(items, override_num_blocks=len(items))
        dataset = dataset.map_batches(
            PartActor,
            batch_size=1,
            batch_format="numpy",
            compute=data.ActorPoolStrategy(size=self.num_workers),
            fn_constructor_args=(self.job, metadata),
            **self.options,
        )
        dataset.context.enable_progress_bars = False
        for row in dataset.iter_rows():
            if row["error"]:
                raise pickle.loads(row["error"])
            yield int(row["part"])


class PartActor:
    """Makes parts by their numbers, as Ray Data calls it.

    An error travels as data: of one that is raised Ray leaves a text.
    """

    def __init__(self, job, metadata):
        self.job, self.metadata, self.maker = job, metadata, None

    def __call__(self, batch):
        numbers, error = map(int, batch["part"]), b""
        try:
            self.maker = self.maker or PartMaker(self.job)
            list(self.maker.make_parts(numbers, self.metadata))
        except Exception as raised:
            error = pickle.dumps(portable_error(raised))
        return {"part": batch["part"], "error": np.array([error], object)}


def describe_job(job):
    """What the reference of a job says of itself, or why it cannot."""
    try:
        return PartMaker(job).description
    except Exception as raised:
        return portable_error(raised)


def with_backend(options):
    """Let actors have Keras' backend of this process."""
    environment = options.get("runtime_env") or {}
    variables = {
        "KERAS_BACKEND": keras.backend.backend(),
        **environment.get("env_vars", {}),
    }
    return {**options, "runtime_env": {**environment, "env_vars": variables}}
