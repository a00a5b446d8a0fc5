"""Threads and forked processes: locks, the stderr of native libraries, and what a fork breaks."""

import contextlib
import functools
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import weakref

from insideout_tf import native_notes, resources
from insideout_tf.errors import UserError

FORK_SECONDS = 10.0  # that a fork waits for threads in native libraries
MAX_THREADS = 8  # of one call
QUOTAS = (  # files with the microseconds that a container may compute in a period, and the period: cgroup 2 and 1
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


class ForkSafeLock:
    """A lock for `with` that is free in a forked child, whichever thread held it at the fork.

    Args:
        delays_fork: True lets a fork wait until no thread holds the lock, for `FORK_SECONDS` at most.
            Native libraries have locks of their own, which a child would find held for ever. A holder
            must not wait for another lock of this kind.
    """

    def __init__(self, delays_fork=False):
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._delays_fork = delays_fork
        _locks.add(self)

    def __enter__(self):
        while self._delays_fork and _is_fork_pending:  # else the fork might never get the lock
            time.sleep(0.001)
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(self, *_):
        self._owner = None
        if self._lock.locked():  # it is not if this very thread has forked meanwhile
            self._lock.release()

    def hold_for_fork(self, deadline):
        """Waits until no thread holds the lock; returns whether it is now held for the fork."""
        if not self._delays_fork or self._owner == threading.get_ident():
            return False
        return self._lock.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def release_after_fork(self):
        """Lets threads of the parent hold the lock again."""
        self._lock.release()

    def renew(self):
        """Makes the lock free."""
        self._lock, self._owner = threading.Lock(), None


_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()
_held_for_fork: list[ForkSafeLock] = []
_is_fork_pending = False
_stderr_lock = ForkSafeLock()
_stderr_depth = 0
_stderr_copy: int | None = None  # of the stream that is replaced
_stderr_notes: int | None = None  # the file that takes its place
_forked_after_start = False
_has_one_thread = False


@contextlib.contextmanager
def native_stderr_closed(is_watched=False):
    """Keeps the C++ notes of libraries, which no Python setting reaches, from the terminal.

    An exception that leaves the context gets the lines that are no known noise as a note. Threads may
    overlap: the stream of the process is replaced by the first one that enters, and restored by the
    last one that leaves.

    is_watched: if a library ends this process meanwhile, another process shows those lines. It is for
    the start of a library, since it costs some milliseconds.
    """
    global _stderr_depth
    with _stderr_lock:
        _stderr_depth += 1
        if _stderr_depth == 1:
            _redirect_stderr()
    try:
        with _watched() if is_watched else contextlib.nullcontext():
            yield
    except Exception as error:
        if _stderr_notes is not None and (text := native_notes.read(_stderr_notes)):
            error.add_note(text)
        raise
    finally:
        with _stderr_lock:
            _stderr_depth = max(0, _stderr_depth - 1)
            if _stderr_depth == 0:
                _restore_stderr()


def _redirect_stderr():
    """Sends file descriptor 2 to a file without a name, or to nowhere where none can be made."""
    global _stderr_copy, _stderr_notes
    try:
        _stderr_copy = os.dup(2)
    except OSError:  # it is closed
        return
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no sys.stderr, or a closed one
        sys.stderr.flush()
    try:
        with tempfile.TemporaryFile() as file:
            _stderr_notes = os.dup(file.fileno())
        os.dup2(_stderr_notes, 2)
    except OSError:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)


def _restore_stderr():
    global _stderr_copy, _stderr_notes
    if _stderr_copy is not None:
        os.dup2(_stderr_copy, 2)
        os.close(_stderr_copy)
    if _stderr_notes is not None:
        os.close(_stderr_notes)
    _stderr_copy = _stderr_notes = None


@contextlib.contextmanager
def _watched():
    """Lets a child process show the notes of native libraries if this process dies in the block."""
    notes, copy = _stderr_notes, _stderr_copy
    if notes is None or copy is None or not sys.executable:
        yield
        return
    command = [sys.executable, "-I", "-S", str(resources.folder() / "native_notes.py"), str(notes)]
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=copy, pass_fds=[notes], start_new_session=True
        )
    except OSError:
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            child.communicate(b"1")  # this process lives


def count_processors():
    """Returns the number of processors that this process may use, by its affinity and its container."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min(count, _read_quota()))


@functools.cache
def _read_quota():
    """Returns the processors that a container gives this process, rounded up; infinity without a limit."""
    for paths in QUOTAS:
        with contextlib.suppress(OSError, ValueError):
            words = " ".join(pathlib.Path(path).read_text() for path in paths).split()
            quota, period = map(int, words)  # "max" is no number: there is no limit
            if quota > 0 and period > 0:
                return math.ceil(quota / period)
    return math.inf


def count_threads():
    """Returns how many threads a native library should use for one call, at least 1."""
    return 1 if _has_one_thread else min(count_processors(), MAX_THREADS)


def limit_threads():
    """Lets native libraries of this process use one thread: other processes use the other processors."""
    global _has_one_thread
    _has_one_thread = True
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)


def made_again_after_fork(make):
    """Returns a function that returns what `make` returned; a forked process makes its own.

    It is for objects with threads, which a forked process lacks. That of the parent is not deleted there, since
    it might wait for them.
    """
    made = [(os.getpid(), make())]

    def get():
        if made[-1][0] != os.getpid():
            made.append((os.getpid(), make()))
        return made[-1][1]

    return get


def serialized(function):
    """Returns `function`, of one argument, answering one thread at a time; also in forked children."""
    lock = ForkSafeLock(delays_fork=True)

    def call(value):
        with lock:
            return function(value)

    return call


def made_once(maxsize):
    """Returns a decorator that keeps results as `functools.lru_cache` does, and makes each one once.

    While a thread makes a result, others that ask for the same one wait for it. An error is not kept.
    """

    def decorate(function):
        keep = functools.lru_cache(maxsize)(function)
        locks: dict[tuple, ForkSafeLock] = {}

        @functools.wraps(function)
        def call(*arguments):
            with locks.setdefault(arguments, ForkSafeLock()):
                return keep(*arguments)

        return call

    return decorate


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


def _wait_before_fork():
    """Waits until no thread is in a native library, as far as this package called it."""
    global _is_fork_pending
    _is_fork_pending = True
    deadline = time.monotonic() + FORK_SECONDS
    _held_for_fork.extend(lock for lock in list(_locks) if lock.hold_for_fork(deadline))


def _continue_after_fork():
    global _is_fork_pending
    _is_fork_pending = False
    while _held_for_fork:
        _held_for_fork.pop().release_after_fork()


def _renew_after_fork():
    """Makes a forked child independent of the threads of its parent, which it does not have."""
    global _forked_after_start, _stderr_depth, _is_fork_pending
    _forked_after_start = _forked_after_start or _has_backend_started()
    _held_for_fork.clear()
    _is_fork_pending = False
    for lock in list(_locks):
        lock.renew()
    _stderr_depth = 0
    _restore_stderr()
    if "cv2" in sys.modules:  # its pool of threads would be waited for
        sys.modules["cv2"].setNumThreads(0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_wait_before_fork,
        after_in_parent=_continue_after_fork,
        after_in_child=_renew_after_fork,
    )
