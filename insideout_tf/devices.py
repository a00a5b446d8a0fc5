"""The Keras backend, the device it computes on, and the precision: each decided once."""

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import platform
import re
import sys

from insideout_tf import imports, processes
from insideout_tf.errors import UserError, describe_failed_import, find_failed_import

BACKENDS = ("tensorflow", "jax")  # of Keras, that this package runs on
# What the package expects of Keras. ~/.keras/keras.json can change each of them.
_SETTINGS = {"floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}


def select_device(name):
    """Makes the backend see the named device alone; call it before anything uses the backend.

    TensorFlow, JAX and PyTorch read the environment variables that this sets when they start. Call
    `check_device` with the same name once the backend is loaded.

    Args:
        name: "auto" changes nothing. "cpu" hides every accelerator. "gpu" requires one, which
            `check_device` checks. "gpu:1" hides all GPUs but the second one of those that
            CUDA_VISIBLE_DEVICES allows.

    Raises:
        UserError: the name is none of these, or CUDA_VISIBLE_DEVICES allows fewer GPUs.
    """
    number = re.fullmatch(r"gpu:(\d{1,3})", str(name))
    if name not in ("auto", "cpu", "gpu") and not number:
        raise UserError(
            f"--device: expected 'auto', 'cpu', 'gpu' or 'gpu:N' with N from 0. Received: {name!r}"
        )
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
    if number:
        allowed = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
        index = int(number[1])
        if allowed and index >= len(allowed):
            raise UserError(
                f"--device: expected one of the {len(allowed)} GPUs that CUDA_VISIBLE_DEVICES="
                f"{','.join(allowed)} allows, counted from 0. Change either. Received: {name!r}"
            )
        os.environ["CUDA_VISIBLE_DEVICES"] = allowed[index] if allowed else str(index)


def check_device(name):
    """Checks, once the backend is loaded, that it computes on the device of `select_device`.

    Raises:
        UserError: "gpu" or "gpu:N" without such a GPU, or "cpu" after the backend has started with
            an accelerator.
    """
    kind = accelerator()
    if name == "auto" or kind == name.partition(":")[0]:
        return
    if name == "cpu":
        advice = "Choose the device before anything uses the backend"
    else:
        advice = (
            "Check the driver with `nvidia-smi`, and that the backend is installed with its GPU "
            "libraries, or use --device cpu"
        )
    raise UserError(
        f"--device: expected the backend to compute on {name!r}. {advice}. "
        f"Received: {describe_devices()}"
    )


def prepare_backend():
    """Chooses and quiets the Keras backend; call it before anything imports keras.

    TensorFlow, unless KERAS_BACKEND or Keras' own configuration file names JAX; JAX where TensorFlow
    is not installed. The other settings of that file are those that the package expects.

    Raises:
        UserError: the backend is unknown or not installed; Keras was imported before with settings
            that do not fit; or the process was forked from one in which the backend had started.
    """
    processes.check_not_forked()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    is_first = "keras" not in sys.modules
    if is_first:
        _choose_backend()
    try:
        with processes.native_stderr_closed(is_watched=is_first):
            import keras
    except Exception as error:  # whatever its configuration file or backend raises
        module = find_failed_import(error) or "keras"
        instead = f". Or check KERAS_BACKEND and {_keras_file()}"
        raise UserError(describe_failed_import(error, module, "keras", "", instead)) from None
    logging.getLogger("tensorflow").addFilter(_is_for_users)
    if is_first:
        for name, value in _SETTINGS.items():
            getattr(keras.config, f"set_{name}")(value)
    _check_settings(keras)


def _is_for_users(record):
    """Returns False for TensorFlow's advice to whoever wrote a loop over several models."""
    return "triggered tf.function retracing" not in record.getMessage()


def _choose_backend():
    """Sets KERAS_BACKEND where Keras would not choose a backend of `BACKENDS` by itself."""
    name = os.environ.get("KERAS_BACKEND")
    if name:
        if name not in BACKENDS or not imports.is_installed(name):
            reason = "not installed" if name in BACKENDS else "another backend"
            raise UserError(
                f"KERAS_BACKEND: expected {' or '.join(BACKENDS)}, and the package of that name. "
                f"Unset it, or install the package. Received: {name!r}, {reason}"
            )
        return
    available = [name for name in BACKENDS if imports.is_installed(name)]
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


def accelerator():
    """Returns the kind of device that the backend computes on: "gpu", "tpu" or "cpu"."""
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
    """Returns a function whose result is the context in which an experiment's variables are created.

    With `distribution="mirrored"` that is the scope of one `tf.distribute.MirroredStrategy`. It
    covers every GPU that TensorFlow sees, or every logical CPU if there is no GPU. Otherwise the
    context does nothing.

    Raises:
        UserError: "mirrored" on another backend, or with a batch size that the devices do not divide.
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
    """How the steps of a run compute.

    Attributes:
        name: the Keras policy of the products: "float32", "mixed_float16" or "mixed_bfloat16".
        policy: the Keras policy of the layers in training: "float32" if TensorFlow rounds the
            graph itself, else `name`.
        rounds_graphs: whether TensorFlow itself rounds float32 graphs to bfloat16, which it does on
            a CPU. oneDNN then rounds the inputs of convolutions and matrix products and sums in
            float32. All else stays float32, which CPUs compute faster.
        scales_loss: whether the optimizer scales the loss, since gradients in float16 underflow.
    """

    name: str
    policy: str
    rounds_graphs: bool
    scales_loss: bool


def resolve_precision(precision, jit_compile):
    """Returns the `Precision` of a run on this device; both arguments are fields of an `Experiment`.

    "auto" is half precision on TPUs and on GPUs with tensor cores: bfloat16 from compute capability
    8.0, float16 from 7.0. Elsewhere it is float32. Graphs that XLA compiles are not rounded.
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
        name=name,
        policy="float32" if rounds_graphs else name,
        rounds_graphs=rounds_graphs,
        scales_loss=name == "mixed_float16",
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
    """Returns True if XLA compiles a training step.

    jit_compile: as in an experiment. "auto" is on, except for TensorFlow or PyTorch on a CPU.
    """
    if jit_compile != "auto":
        return jit_compile == "on"
    import keras

    return keras.backend.backend() == "jax" or accelerator() != "cpu"


@contextlib.contextmanager
def graphs_rounded(wanted=True):
    """Switches the rounding of `Precision.rounds_graphs` on or off for functions called in this context.

    The setting before is restored at the end, so contexts may be nested. On a backend other than
    TensorFlow this does nothing and imports nothing.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    pass_name = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(pass_name, False)
    if before == bool(wanted):
        yield
        return
    tf.config.optimizer.set_experimental_options({pass_name: bool(wanted)})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({pass_name: before})


def describe_devices():
    """Returns the device in use as a line of text.

    Examples: "NVIDIA H100 (gpu)", "2 × NVIDIA H100 (gpu)", "AMD EPYC, 2 cores; no GPU in use".
    """
    kind = accelerator()
    if kind != "cpu":
        count = _count_accelerators(kind)
        return (f"{count} × " if count > 1 else "") + f"{device_name()} ({kind})"
    cores = processes.count_processors()
    return f"{device_name()}, {cores} core{'s' if cores > 1 else ''}; no GPU in use"


def _count_accelerators(kind):
    """Returns the number of GPUs or TPUs that the backend sees."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return len(tf.config.list_physical_devices(kind.upper()))
    if backend == "jax":
        import jax

        return jax.local_device_count()
    import torch

    return torch.cuda.device_count()


def device_name():
    """Returns the name of the accelerator in use, or of the processor."""
    import keras

    kind, backend = accelerator(), keras.backend.backend()
    if kind != "cpu" and backend == "jax":
        import jax

        return jax.devices()[0].device_kind
    if kind == "gpu" and backend == "tensorflow":
        import tensorflow as tf

        device = tf.config.list_physical_devices("GPU")[0]
        return tf.config.experimental.get_device_details(device).get("device_name", "GPU")
    if kind == "gpu":
        import torch

        return torch.cuda.get_device_name()
    if kind == "tpu":
        return "TPU"
    with contextlib.suppress(OSError):
        match = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
        if match:
            return match[1]
    return platform.processor() or platform.machine()
