"""One builder at a time in the folder of a store."""

import contextlib
import errno
import os
import socket
import uuid

# Who reads a folder as one table leaves out what begins with a line.
LOCK = "_build.lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def only_builder(path):
    """Hold the lock of a folder, or refuse.

    It is a lock of the system on a file (`flock`), which ends with the
    process that holds it, however it ends. It holds between the processes
    of one machine; between machines on NFS (from version 4, or with its lock
    service) and on Lustre mounted with `flock`. Where a file system or a
    system has no such lock the file itself is the lock, and must be deleted
    by hand after a kill.

    Args:
        path: str, the folder; it is there.

    Returns:
        A context with the token of this build, a str that `check_token`
        finds in the folder for as long as no other build has begun.

    Raises:
        ValueError: Another process builds there.
        OSError: The folder cannot be written to.
    """
    token = f"{uuid.uuid4().hex} {socket.gethostname()} {os.getpid()}"
    place = os.path.join(path, LOCK)
    is_new = not os.path.exists(place)
    try:
        file = open(place, "x+b" if is_new else "r+b")
    except FileExistsError:
        raise another_builder(place) from None
    except OSError as error:
        raise OSError(
            error.errno,
            "Expected a folder that can be written to, to build a store in. "
            f"Received: {error.strerror}",
            str(path),
        ) from error
    with file:
        is_held = take_lock(file, place, is_new)
        try:
            file.truncate(0)
            file.seek(0)
            file.write(token.encode())
            file.flush()
            yield token
        finally:
            file.truncate(0)
            if not is_held:
                os.unlink(place)


def take_lock(file, place, is_new):
    """Lock an open file; return whether the system holds the lock."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise another_builder(place) from None
    except (ImportError, OSError) as error:
        if error.__class__ is OSError and error.errno not in UNSUPPORTED:
            raise
        if not is_new:
            raise another_builder(
                place, " Or it was killed: then delete the file."
            ) from None
        return False
    return True


def another_builder(place, more=""):
    with contextlib.suppress(OSError), open(place, encoding="utf-8") as file:
        _, _, who = file.read().partition(" ")
        more = f"{more} It is process {who!r} (machine, number)."
    return ValueError(
        "Expected a folder in which nobody builds. Another process is "
        f"building a store there: wait for it.{more} Received: {place!r}"
    )


def check_token(path, token):
    """Raise if a build is over, or in a folder that is not this one.

    A process that outlives a build that was killed would else write into
    the next one; and a machine that has another folder of that name would
    keep what it makes to itself.
    """
    place = os.path.join(path, LOCK)
    try:
        with open(place, encoding="utf-8") as file:
            found = file.read()
    except OSError as error:
        found = str(error)
    if found != token:
        raise ValueError(
            "Expected the folder of the build that this process works for. "
            "The build has ended, or this machine sees another folder: all "
            f"machines must share it. Received: {place!r} with {found!r}"
        )
