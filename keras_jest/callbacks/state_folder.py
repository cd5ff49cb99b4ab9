"""States of runs on disk: each whole or not there, the last two kept."""

import json
import pathlib
import warnings

import numpy as np

from keras_jest.data.whole_file import whole_file

FORMAT = "keras_jest.callbacks.BackupAndRestore 1"
NUM_KEPT = 2


class StateFolder:
    """Writes and reads states, nested structures of JSON and arrays.

    Args:
        folder: str or path. Made when it is first written to.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def paths(self):
        """The states that are there, the newest last."""
        return sorted(self.folder.glob("step-*.npz"))

    def write(self, step, state):
        """Write a state aside, rename it, then drop the third last.

        Whatever stops it, the states before are as they were.

        Args:
            step: int. How many steps the run has made.
            state: dict of what JSON takes, and NumPy arrays.

        Raises:
            OSError: It cannot be written; the disk may be full.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self.folder / f"step-{step:012d}.npz") as file:
                np.savez(file, **as_arrays(state))
        except OSError as error:
            raise OSError(
                error.errno,
                f"The state after {step} steps could not be saved ({error}). "
                f"Whole are {[path.name for path in self.paths()]} in "
                f"{self.folder}; the run goes on from the last of them.",
            ) from error
        self._drop_older()

    def _drop_older(self):
        # And what a kill left half-written: a folder serves one run alone.
        dropped = [*self.paths()[:-NUM_KEPT], *self.folder.glob("*.part")]
        for path in dropped:
            path.unlink(missing_ok=True)

    def read(self):
        """Read the newest state that is whole.

        Returns:
            The dict, or `None` if there is no state.

        Raises:
            ValueError: There are states and none is whole, or another
                version wrote them.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    return from_arrays(arrays)
            except OtherFormat as error:
                raise ValueError(f"{error} Received: {path}") from error
            except Exception as error:  # Broken bytes raise many types.
                path.rename(path.with_suffix(".damaged"))
                warnings.warn(
                    f"The state {path} is damaged ({error}) and renamed; the "
                    "one before it is taken.",
                    stacklevel=4,
                )
        if paths:
            raise ValueError(
                "None of the saved states could be read. They are renamed to "
                "`.damaged`: run again to begin anew. "
                f"Received: {[str(path) for path in paths]}"
            )
        return None

    def delete(self):
        """Remove all states, and the folder if nothing else is in it."""
        for path in [*self.paths(), *self.folder.glob("*.part")]:
            path.unlink(missing_ok=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()


class OtherFormat(Exception):
    """A file that another version wrote."""


def as_arrays(state):
    """A structure as arrays alone: one of JSON, and those that it names."""
    arrays = {}

    def put(value):
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{type(value)} is neither JSON nor an array")
        name = f"array_{len(arrays)}"
        # NumPy forgets the types that it did not bring along, as bfloat16.
        is_foreign = value.dtype.kind == "V"
        arrays[name] = value.view(f"u{value.itemsize}") if is_foreign else value
        return {"array": name, "dtype": value.dtype.name}

    text = json.dumps({"format": FORMAT, "state": state}, default=put)
    return {"text": np.frombuffer(text.encode(), "uint8"), **arrays}


def from_arrays(arrays):
    import ml_dtypes  # noqa: F401  # NumPy learns its types by this.

    def take(value):
        if value.keys() != {"array", "dtype"}:
            return value
        return arrays[value["array"]].view(value["dtype"])

    content = json.loads(arrays["text"].tobytes(), object_hook=take)
    if content.get("format") != FORMAT:
        raise OtherFormat(
            "The saved state has another format. Delete it to begin anew, or "
            f"go on with the version that wrote it. Expected: {FORMAT}, "
            f"found: {content.get('format')}."
        )
    return content["state"]
