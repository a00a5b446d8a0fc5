"""Threads and forked processes: locks, the stderr of native libraries, and what a fork breaks."""

import contextlib
import os
import sys
import threading
import weakref

from insideout_tf.errors import UserError


class ForkSafeLock:
    """A lock for `with` that is free in a forked child, whichever thread held it at the fork."""

    def __init__(self):
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *_):
        if self._lock.locked():  # it is not if this very thread has forked meanwhile
            self._lock.release()

    def renew(self):
        """Makes the lock free."""
        self._lock = threading.Lock()


_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()
_stderr_lock = ForkSafeLock()
_stderr_depth = 0
_stderr_copy: int | None = None
_forked_after_start = False


@contextlib.contextmanager
def native_stderr_closed():
    """Silences the C++ notes of libraries, which no Python setting reaches. Threads may overlap.

    The stream of the process is replaced by the first thread that enters, and restored by the last
    one that leaves.
    """
    global _stderr_depth, _stderr_copy
    with _stderr_lock:
        _stderr_depth += 1
        if _stderr_depth == 1:
            _stderr_copy = _close_stderr()
    try:
        yield
    finally:
        with _stderr_lock:
            _stderr_depth = max(0, _stderr_depth - 1)
            if _stderr_depth == 0:
                _restore_stderr()


def _close_stderr():
    """Sends file descriptor 2 to nowhere; returns a copy of it, or None if there is none."""
    try:
        copy = os.dup(2)
    except OSError:
        return None
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no sys.stderr, or a closed one
        sys.stderr.flush()
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    return copy


def _restore_stderr():
    global _stderr_copy
    if _stderr_copy is not None:
        os.dup2(_stderr_copy, 2)
        os.close(_stderr_copy)
        _stderr_copy = None


def serialized(function):
    """Returns `function`, of one argument, answering one thread at a time; also in forked children."""
    lock = ForkSafeLock()

    def call(value):
        with lock:
            return function(value)

    return call


def check_not_forked():
    """Raises `UserError` in a process that was forked after TensorFlow or JAX had started.

    Their threads do not exist in the child, so the child would wait for them for ever.
    """
    if _forked_after_start:
        raise UserError(
            "keras: expected a process that was not forked after TensorFlow or JAX had started. Load "
            "and call the model in the workers alone (gunicorn without --preload, multiprocessing "
            "with 'spawn'), or use engine 'litert'. Received: a forked process"
        )


def _has_backend_started():
    """Returns whether TensorFlow or JAX has computed anything in this process."""
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    clients = getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None)
    return getattr(context, "_context_handle", None) is not None or bool(clients)


def _renew_after_fork():
    """Makes a forked child independent of the threads of its parent, which it does not have."""
    global _forked_after_start, _stderr_depth
    _forked_after_start = _forked_after_start or _has_backend_started()
    for lock in list(_locks):
        lock.renew()
    _stderr_depth = 0
    _restore_stderr()
    if "cv2" in sys.modules:  # its pool of threads would be waited for
        sys.modules["cv2"].setNumThreads(0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)
