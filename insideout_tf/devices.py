"""The Keras backend and the device under it: chosen, quieted, named."""

import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import platform
import re
import sys
import threading

from insideout_tf.errors import UserError


def prepare_backend():
    """Chooses and quiets the Keras backend; call it before anything imports keras.

    TensorFlow unless KERAS_BACKEND says otherwise; JAX where TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    if "KERAS_BACKEND" not in os.environ and not is_installed("tensorflow"):
        if not is_installed("jax"):
            raise UserError(
                "expected TensorFlow (or JAX). Install it with `pip install -r "
                "requirements.txt`. Received: neither is installed"
            )
        os.environ["KERAS_BACKEND"] = "jax"
    with native_stderr_closed():
        import keras  # noqa: F401


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


@contextlib.contextmanager
def native_stderr_closed():
    """Silences the C++ start-up notes of TensorFlow, which no Python setting reaches."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    sys.stderr.flush()
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def serialized(function):
    """Returns `function`, of one argument, answering one thread at a time."""
    turn = threading.Lock()

    def call(given):
        with turn:
            return function(given)

    return call


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
