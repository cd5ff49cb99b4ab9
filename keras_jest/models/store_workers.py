"""Worker processes of one machine that build a store together."""

import collections
import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from multiprocessing import connection

import keras

from keras_jest.models.part_maker import PartMaker
from keras_jest.models.portable_error import portable_error

IMPORTABLE = (
    "Worker processes are spawned, and import what they are given: put the "
    "function into a module, or into a script that ends in `if __name__ == "
    "'__main__':`, or set `num_workers=0`. (A notebook has none of these.)"
)


class StoreWorkers:
    """Processes that each hold a reference, and make a part at a time.

    A worker that dies is named in a warning, and what it was at is made by
    the others; if none is left the build ends with an error, and goes on
    when it is begun again.

    Args:
        job: `StoreJob`.
        num_workers: int.
    """

    def __init__(self, job, num_workers):
        check_importable(job)
        self.description = None
        self.workers = [Worker(job, number) for number in range(num_workers)]

    def __enter__(self):
        try:
            while self.description is None:
                self.description = self.next_report()[1]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.end()

    def make_parts(self, numbers, metadata):
        """As `PartMaker.make_parts`, in no order."""
        waiting = collections.deque(numbers)
        while waiting or any(of.number is not None for of in self.workers):
            self.give(waiting, metadata)
            worker, report = self.next_report(waiting)
            if worker.number is not None and report == worker.number:
                worker.number = None
                yield report

    def give(self, waiting, metadata):
        """Give a part to each worker that is ready and has none."""
        for worker in self.workers:
            if waiting and worker.is_ready and worker.number is None:
                worker.give(waiting.popleft(), metadata)

    def next_report(self, waiting=()):
        """Wait for a worker; one that died is let go, and reports `None`.

        So that who asks gives what it was at to a worker that has nothing to
        do, and would never report.
        """
        ready = connection.wait([of.connection for of in self.workers])
        worker = next(of for of in self.workers if of.connection in ready)
        try:
            return worker, worker.read()
        except EOFError:
            self.let_go(worker, waiting)
            return worker, None

    def let_go(self, worker, waiting):
        """Take a dead worker out; others make what it was at."""
        worker.process.join()
        self.workers.remove(worker)
        if not self.workers:
            raise RuntimeError(
                f"{worker} died, the last one. What was made is kept: begin "
                "the build again, and it goes on. If the system ended it, "
                "memory may be short: lower `num_workers` or `batch_size`. "
                f"{'' if worker.is_ready else IMPORTABLE}"
            )
        if worker.number is not None:
            waiting.appendleft(worker.number)
        warnings.warn(
            f"{worker} died. The {len(self.workers)} others go on, and make "
            "what it was at.",
            stacklevel=2,
        )


class Worker:
    """One process, and the pipe to it."""

    def __init__(self, job, number):
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.name, self.number, self.is_ready = number, None, False
        self.process = context.Process(target=work, args=(other, job))
        with this_backend():
            self.process.start()
        other.close()  # So that the pipe ends when the process does.

    def give(self, number, metadata):
        self.number = number
        with contextlib.suppress(OSError):  # Its death is read from the pipe.
            self.connection.send((number, metadata))

    def read(self):
        """What it has to say: a description, then the number of each part."""
        try:
            kind, report = self.connection.recv()
        except OSError:
            raise EOFError from None
        if kind == "error":
            report.add_note(f"It was raised in {self}.")
            raise report
        self.is_ready = True
        return report

    def end(self):
        self.connection.close()
        self.process.terminate()
        self.process.join()

    def __str__(self):
        at = "" if self.number is None else f", at part {self.number}"
        code = self.process.exitcode
        ended = "" if code is None else f", exit code {code}"
        return f"Worker {self.name} (process {self.process.pid}{ended}{at})"


@contextlib.contextmanager
def this_backend():
    """Let new processes have Keras' backend of this one."""
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = keras.backend.backend()
    try:
        yield
    finally:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before


def work(pipe, job):
    """What a worker does: make the parts that it is told to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The builder ends it.
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        maker = PartMaker(job)
        pipe.send(("description", maker.description))
        while True:
            number, metadata = pipe.recv()
            for made in maker.make_parts([number], metadata):
                pipe.send(("part", made))
    except EOFError:
        return
    except Exception as error:
        pipe.send(("error", portable_error(error)))


def end_with_parent():
    """End this process as soon as its parent has ended, even by a kill."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def check_importable(job):
    """Raise unless a job can be sent to a spawned process."""
    try:
        pickle.dumps(job)
    except Exception as error:  # Of any library that pickles in its way.
        raise ValueError(f"{IMPORTABLE} Received: {error}") from error
    main = sys.modules["__main__"]
    is_script = hasattr(main, "__file__") or getattr(main, "__spec__", None)
    for name in ("reference", "records", "tokenizer"):
        value = getattr(job, name)
        module = getattr(value, "__module__", None)
        if module == "__main__" and not is_script:
            raise ValueError(f"{IMPORTABLE} Received: {name}={value!r}")
