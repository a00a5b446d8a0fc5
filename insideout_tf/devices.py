"""The Keras backend and the device under it: chosen, quieted, named."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import platform
import re
import sys
import threading
import time
import weakref

from insideout_tf.errors import UserError

BACKENDS = ("tensorflow", "jax")  # of Keras, that this package runs on
FORK_SECONDS = 10.0  # that a fork waits for threads in native libraries
# What the package expects of Keras. ~/.keras/keras.json can change each of them.
_SETTINGS = {"floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}


def prepare_backend():
    """Chooses and quiets the Keras backend; call it before anything imports keras.

    TensorFlow, unless KERAS_BACKEND or Keras' own configuration file names JAX; JAX where TensorFlow
    is not installed. The other settings of that file are those that the package expects.

    Raises:
        UserError: the backend is unknown or not installed; Keras was imported before with settings
            that do not fit; or the process was forked from one in which the backend had started.
    """
    check_not_forked()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    is_first = "keras" not in sys.modules
    if is_first:
        _choose_backend()
    try:
        with native_stderr_closed():
            import keras
    except Exception as error:  # whatever its configuration file or backend raises
        raise UserError(
            f"keras: expected it to start. Check KERAS_BACKEND and {_keras_file()}. Received: "
            f"{type(error).__name__}: {error}"
        ) from None
    if is_first:
        for name, value in _SETTINGS.items():
            getattr(keras.config, f"set_{name}")(value)
    _check_settings(keras)


def _choose_backend():
    """Sets KERAS_BACKEND where Keras would not choose a backend of `BACKENDS` by itself."""
    name = os.environ.get("KERAS_BACKEND")
    if name:
        if name not in BACKENDS or not is_installed(name):
            reason = "not installed" if name in BACKENDS else "another backend"
            raise UserError(
                f"KERAS_BACKEND: expected {' or '.join(BACKENDS)}, and the package of that name. "
                f"Unset it, or install the package. Received: {name!r}, {reason}"
            )
        return
    available = [name for name in BACKENDS if is_installed(name)]
    if not available:
        raise UserError(
            "expected TensorFlow (or JAX). Install it with `pip install -r "
            "requirements.txt`. Received: neither is installed"
        )
    try:
        configured = json.loads(_keras_file().read_text("utf-8")).get("backend")
    except (OSError, ValueError, AttributeError, RecursionError):
        configured = None
    chosen = configured if configured in available else available[0]
    if chosen != (configured or "tensorflow"):
        os.environ["KERAS_BACKEND"] = chosen


def _keras_file():
    """Returns the path of Keras' configuration file."""
    home = os.environ.get("KERAS_HOME")
    folder = pathlib.Path(home) if home else pathlib.Path(os.path.expanduser("~"), ".keras")
    return folder / "keras.json"


def _check_settings(keras):
    """Raises `UserError` if Keras, imported before this package, was set up otherwise."""
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise UserError(
            f"keras: expected the backend {' or '.join(BACKENDS)}. Set KERAS_BACKEND before the "
            f"first import of keras. Received: {backend!r}"
        )
    for name in ("floatx", "image_data_format"):
        value = getattr(keras.config, name)()
        if value != _SETTINGS[name]:
            raise UserError(
                f"keras: expected {name} {_SETTINGS[name]!r}. Call keras.config.set_{name}("
                f"{_SETTINGS[name]!r}), or correct {_keras_file()}. Received: {value!r}"
            )


def select_device(name):
    """Makes the backend use a device; call it before anything imports a framework.

    name: "auto" leaves the choice to the backend; "cpu" hides every accelerator; "gpu" expects one;
    "gpu:N" shows the backend only GPU number N, from 0. `check_device` verifies the result.

    Raises `UserError` for another name.
    """
    kind, _, number = name.partition(":")
    if name not in ("auto", "cpu", "gpu") and not (kind == "gpu" and number.isdecimal()):
        raise UserError(f"--device: expected auto, cpu, gpu or gpu:N. Received: {name!r}")
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
    elif number:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(int(number))


def check_device(name):
    """Raises `UserError` if `select_device` was asked for a GPU and the backend has none."""
    if name.startswith("gpu") and accelerator() == "cpu":
        import keras

        raise UserError(
            f"--device {name}: expected a GPU that {keras.backend.backend()} can use. Check the "
            "driver with `nvidia-smi`, and that the framework is installed with its GPU libraries; "
            "--device cpu trains without. Received: no GPU"
        )


def describe_devices():
    """Returns what the backend computes on as text, such as "NVIDIA H100 (gpu)"."""
    kind = accelerator()
    if kind == "cpu":
        return f"{device_name()}, {os.cpu_count()} cores; no GPU in use"
    return f"{device_name()} ({kind})"


def is_installed(module):
    """True where a top-level module can be imported; it is not."""
    return importlib.util.find_spec(module) is not None


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
    lock = ForkSafeLock(delays_fork=True)

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


def accelerator():
    """Returns "gpu", "tpu" or "cpu": what the backend computes on."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        for kind in ("TPU", "GPU"):
            if tf.config.list_physical_devices(kind):
                return kind.lower()
    elif backend == "jax":
        import jax

        return {"cuda": "gpu", "rocm": "gpu"}.get(jax.default_backend(), jax.default_backend())
    elif backend == "torch":
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    return "cpu"


def distribution_scope(experiment):
    """Returns a function that gives the context in which an experiment's variables are created.

    With "mirrored" that is the scope of one `tf.distribute.MirroredStrategy` over every GPU (or,
    without any, every logical CPU) TensorFlow sees. Raises `UserError` where there is none, or where
    the batch cannot be shared out evenly.
    """
    if experiment.distribution == "none":
        return contextlib.nullcontext
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            "distribution: expected the TensorFlow backend for 'mirrored'. Unset KERAS_BACKEND, or "
            f"--set distribution=none. Received: backend {keras.backend.backend()!r}"
        )
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    if experiment.batch_size % len(names):
        raise UserError(
            f"batch_size: expected a multiple of the {len(names)} devices that share each batch. "
            f"Change it with --set. Received: {experiment.batch_size}"
        )
    return tf.distribute.MirroredStrategy(names).scope


@dataclasses.dataclass(frozen=True)
class Precision:
    """How a run computes.

    Attributes:
        name: "float32", "mixed_float16" or "mixed_bfloat16".
        policy: the Keras policy of the layers in training.
        rounds_graphs: whether TensorFlow itself rounds float32 graphs to bfloat16, on a processor. Its
            oneDNN rounds what convolutions and products read, and sums in float32. Everything else
            stays float32, which processors compute faster.
        scales_loss: whether the loss is scaled dynamically, as float16 gradients need.
    """

    name: str
    policy: str
    rounds_graphs: bool
    scales_loss: bool


def resolve_precision(precision, jit_compile):
    """Returns the `Precision` of a run; both arguments are fields of an `Experiment`.

    "auto" is half precision only if the device is faster with it. XLA's graphs are not rounded.
    """
    import keras

    name = _choose_policy() if precision == "auto" else precision
    rounds_graphs = (
        name == "mixed_bfloat16"
        and not compiles(jit_compile)
        and keras.backend.backend() == "tensorflow"
        and accelerator() == "cpu"
    )
    return Precision(
        name, "float32" if rounds_graphs else name, rounds_graphs, name == "mixed_float16"
    )


def _choose_policy():
    """Returns the Keras policy that suits the device."""
    if accelerator() == "tpu":
        return "mixed_bfloat16"
    if accelerator() != "gpu":
        return "float32"
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        device = tf.config.list_physical_devices("GPU")[0]
        details = tf.config.experimental.get_device_details(device)
        capability = details.get("compute_capability", (8, 0))
        if capability < (7, 0):
            return "float32"
        return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16"
    return "mixed_bfloat16"


def compiles(jit_compile):
    """True where XLA is to compile a training step; jit_compile: as in an experiment."""
    if jit_compile != "auto":
        return jit_compile == "on"
    import keras

    return keras.backend.backend() == "jax" or accelerator() != "cpu"


@contextlib.contextmanager
def graphs_rounded(wanted):
    """Lets TensorFlow functions that are called in this context round to bfloat16, or not.

    wanted: a bool; see `Precision.rounds_graphs`. On other backends the context does nothing.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    pass_name = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(pass_name, False)
    if before == wanted:
        yield
        return
    tf.config.optimizer.set_experimental_options({pass_name: wanted})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({pass_name: before})


def device_name():
    """Returns the name of the accelerator, or of the processor."""
    import keras

    if accelerator() == "gpu" and keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    if accelerator() == "gpu" and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        device = tf.config.list_physical_devices("GPU")[0]
        return tf.config.experimental.get_device_details(device).get("device_name", "GPU")
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()
