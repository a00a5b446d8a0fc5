"""Training on several hosts, by JAX: one process a host, each with a part of every batch.

The first process writes the run folder; the others work in folders that are removed. What decides how the
training goes on (validation, what is resumed) comes from the first one, so that all take the same steps.
"""

import contextlib
import inspect
import json
import os
import pathlib
import re
import tempfile

import numpy as np

from insideout_tf.errors import UserError

TIMEOUT = 300  # seconds to wait for the other processes at the start
END_TIMEOUT = 3600  # seconds that the others wait at the end, while the first one writes the report
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_has_joined = False


def parse(text):
    """Returns (address, number of processes, number of this one) of --hosts; three None for "auto".

    "auto" takes `VARIABLES` of the environment where they are set; else JAX finds SLURM, Open MPI or
    Kubernetes by itself.

    Raises `UserError` for another form.
    """
    if text == "auto":
        given = [os.environ.get(name) for name in VARIABLES]
        if not all(given[1:]):
            return None, None, None
        text = ",".join(value or "" for value in given)
    match = re.fullmatch(r"([^,\s]+:\d{1,5}),(\d{1,5}),(\d{1,5})", text)
    if not match or not 0 <= int(match[3]) < int(match[2]):
        raise UserError(
            "--hosts: expected auto, or HOST:PORT,COUNT,NUMBER: the address of the first process, how many "
            f"there are, and which one this is, from 0. Correct it. Received: {text!r}"
        )
    return match[1], int(match[2]), int(match[3])


def join(text):
    """Connects this process to the others; call it before anything uses the backend.

    text: of --hosts, see `parse`.

    Raises:
        UserError: the backend is not JAX, or the others do not answer.
    """
    global _has_joined
    address, count, number = parse(text)
    if os.environ.setdefault("KERAS_BACKEND", "jax") != "jax":
        raise UserError(
            "--hosts: expected the JAX backend. Unset KERAS_BACKEND; distribution=mirrored shares batches on one "
            f"host with TensorFlow. Received: {os.environ['KERAS_BACKEND']!r}"
        )
    try:
        import jax
    except ImportError:
        raise UserError(
            "--hosts: expected the package jax. Install it with `pip install jax`. Received: no such package"
        ) from None
    try:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM away from us
        options = {
            "initialization_timeout": TIMEOUT,
            "shutdown_timeout_seconds": END_TIMEOUT,
        }
        known = inspect.signature(jax.distributed.initialize).parameters
        options = {name: value for name, value in options.items() if name in known}
        jax.distributed.initialize(address, count, number, **options)
    except Exception as error:  # JAX and its coordinator raise several kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise UserError(
            f"--hosts: expected {count or 'the'} processes that meet at {address or 'one address'}. Start them "
            f"all within {TIMEOUT} seconds, or give HOST:PORT,COUNT,NUMBER. Received: {reason}"
        ) from None
    _has_joined = True


def count():
    """Returns the number of processes that train together; 1 without `join`."""
    if not _has_joined:
        return 1
    import jax

    return jax.process_count()


def number():
    """Returns the number of this process, from 0; it writes the run if that is 0."""
    if not _has_joined:
        return 0
    import jax

    return jax.process_index()


def distribute(batch_size):
    """Lets Keras share each batch between the devices of all processes.

    Raises `UserError` for a batch size that the devices do not divide.
    """
    if count() == 1:
        return
    import jax
    import keras

    devices = jax.device_count()
    if batch_size % devices:
        raise UserError(
            f"batch_size: expected a multiple of the {devices} devices that share each batch. Change it with "
            f"--set. Received: {batch_size}"
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


@contextlib.contextmanager
def alone():
    """Lets this process build and call models for itself, without the others."""
    if count() == 1:
        yield
        return
    import keras

    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def of_first(function):
    """Returns what a function without arguments gives on the first process; every process must call it.

    All compute it, each for itself, so that none waits for another until a connection times out.
    """
    with alone():
        value = function()
    return share(value)


def part_of_batch(order):
    """Returns the columns of an order of rows, `[steps, b]`, that are this process' part of each batch."""
    size = order.shape[1] // count()
    return order[:, number() * size : (number() + 1) * size]


def share(value):
    """Returns the value of the first process, which JSON can hold; every process must call it."""
    return value if count() == 1 else json.loads(_share_bytes(json.dumps(value).encode()))


def _share_bytes(content):
    """Returns the bytes that the first process gives."""
    from jax.experimental import multihost_utils

    is_first = number() == 0
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content) if is_first else 0)))
    block = np.zeros(size, np.uint8)
    if is_first:
        block[:] = np.frombuffer(content, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(block)).astype(np.uint8).tobytes()


@contextlib.contextmanager
def run_folder(directory, names):
    """Yields the folder that this process writes: the run's own, or one that is removed at the end.

    names: of the files of an interrupted run, which the other processes get from the first one.
    """
    if count() == 1:
        yield pathlib.Path(directory)
        return
    with contextlib.ExitStack() as stack:
        mine = pathlib.Path(directory)
        is_first = number() == 0
        if not is_first:
            mine = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
        there = share([name for name in names if is_first and (mine / name).exists()])
        for name in there:
            content = _share_bytes((mine / name).read_bytes() if is_first else b"")
            if not is_first:
                mine.mkdir(exist_ok=True)
                (mine / name).write_bytes(content)
        yield mine


def check_same(what, value):
    """Raises `UserError` on every process where a text differs from that of the first one.

    what: the text means, such as "the data".
    """
    first = share(value)
    if first != value:
        raise UserError(
            f"--hosts: expected {what} to be the same on all hosts. Give every process the same command and "
            f"files. Received: {value!r:.100} here, {first!r:.100} on the first"
        )
