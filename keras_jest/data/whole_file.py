"""Files that are there whole or not at all."""

import contextlib
import os


@contextlib.contextmanager
def whole_file(path):
    """Open a file to write that replaces an older one when it is whole.

    What is written goes beside it, to `path.<process>.part`, and takes its
    name when all of it is on the disk. An error, a full disk or a kill leave
    the older file as it was. A device or a pipe is written to as it is.

    Args:
        path: str or path of the file. A link stays one.

    Returns:
        A context with the open binary file.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            yield file
        return
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
