"""The lock of a run folder: one process writes it at a time."""

import contextlib
import os
import pathlib
import socket

from insideout_tf import files
from insideout_tf.errors import UserError

LOCK = f"{files.TEMPORARY}lock"  # names the process that writes the folder


@contextlib.contextmanager
def locked(directory, content="a run", option="--run-dir"):
    """Holds the run folder for this process; creates it, and removes it at the end if it is empty.

    content, option: what the folder holds and the option that names another one, for the message.

    The lock is a file with the process id, which the operating system releases when the process
    ends, in whatever way. A file that a killed process left is therefore no lock.

    Raises:
        UserError: another process holds the folder.
    """
    directory = pathlib.Path(directory)
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / LOCK
    try:
        with open(path, "a+", encoding="utf-8") as file:
            _hold(file, directory, content, option)
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}\n")
            file.flush()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # Windows removes no open file
                    path.unlink(missing_ok=True)
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # it is in use
                folder.rmdir()


def _hold(file, directory, content, option):
    """Locks an open lock file, or raises `UserError` if a living process has it."""
    is_free = False  # as far as the operating system can say
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        pass
    except (ImportError, OSError):  # Windows, or a network disk without locks
        is_free = True
    file.seek(0)
    holder = file.read().split()
    if _has_ended(*holder) if holder else is_free:
        return
    raise UserError(
        f"{directory}: expected {content} that no other process is writing. Wait for it, choose another "
        f"{option}, or remove {directory / LOCK} if it has ended. Received: process "
        f"{' on '.join(holder) or 'unknown'}"
    )


def _has_ended(process, host="", *_):
    """Returns True if a process of this machine, by its number as text, has ended."""
    if host != socket.gethostname() or not process.isdecimal() or os.name == "nt":
        return False  # on Windows, os.kill would end it
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
