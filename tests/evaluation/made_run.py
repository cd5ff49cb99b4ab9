"""Logs of a run that was never made, of which everything is known."""

import io

import numpy as np
from PIL import Image

from keras_jest.data.identity import key_of
from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.step_columns import step_columns
from keras_jest.data.step_columns import steps_path
from keras_jest.data.unfinished_log import UnfinishedLog

SETTINGS = {"model": "JESTModel", "seed": 3, "first_draw": 0}
SETTINGS |= {"selection": None, "backend": "none"}
SOURCES = ("web", "books", "mail")


def picture(number=0, size=8):
    pixels = np.random.default_rng(number).integers(0, 255, (size, size, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype("uint8")).save(file, "PNG")
    return file.getvalue()


def make_records(num_records=40, captions=()):
    records = [
        {
            "image": picture(row),
            "text": f"caption {row}",
            "key": f"{row:03d}",
            "source": SOURCES[row % 3],
            "json": {"class": row % 5},
        }
        for row in range(num_records)
    ]
    for record, caption in zip(records, captions, strict=False):
        record["text"] = caption
    return records


class MadeRun:
    """Steps of 12 rows of which 4 are kept, drawn with a preference.

    Args:
        records: list of dicts. The last two are never seen.
        num_steps: int.
        every: int. A snapshot is taken after so many steps.
    """

    def __init__(self, records, num_steps=9, every=4, seed=0):
        rng = np.random.default_rng(seed)
        self.keys = np.stack([key_of(of) for of in records])
        self.seen, self.rows, self.scores, self.shots = [], [], [], []
        self.seen_scores = []
        for step in range(num_steps):
            self.seen.append(rng.permutation(len(records) - 2)[:12])
            order = np.argsort(self.seen[-1] % 3, kind="stable")
            self.rows.append(order[:4])
            self.scores.append(rng.normal(size=4).astype("float32"))
            self.seen_scores.append(np.float32(rng.normal()))
            shots = [self.shot(rng, of) for of in (np.arange(12), order[:4])]
            self.shots.append(shots if step % every == 0 else None)
        self.kept = [
            seen[rows] for seen, rows in zip(self.seen, self.rows, strict=True)
        ]

    def shot(self, rng, rows):
        square = (2, len(rows), len(rows))
        learner, reference = rng.normal(size=square).astype("float32")
        scores = rng.normal(size=len(rows)).astype("float32")
        return {
            "rows": rows.astype("int32"),
            "scores": scores,
            "learner": learner,
            "reference": reference,
        }

    def write(
        self,
        path,
        keep_seen=True,
        snapshots=True,
        with_key=True,
        with_seen_score=True,
    ):
        """Write the log, complete, and what is kept beside it."""
        steps = np.arange(len(self.rows), dtype="int32")
        columns = {
            "step": np.repeat(steps, 4),
            "row": np.concatenate(self.rows).astype("int32"),
            "score": np.concatenate(self.scores),
            "seen_score": np.repeat(self.seen_scores, 4),
        }
        if not with_seen_score:
            del columns["seen_score"]
        if with_key:
            columns["key"] = keys_to_hex(self.keys[np.concatenate(self.kept)])
        append(path, columns)
        if keep_seen or snapshots:
            keys = [self.keys[of] for of in self.seen] if keep_seen else None
            shots = self.shots if snapshots else None
            append(steps_path(path), step_columns(steps.tolist(), keys, shots))
        return path


def append(path, columns):
    log = UnfinishedLog(str(path), SETTINGS, 0)
    log.append(columns)
    log.complete()
