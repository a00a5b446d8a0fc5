"""Devices and precision are decided once, and rounding on a CPU stays within its context."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from insideout_tf import devices, imports, processes
from insideout_tf.errors import UserError

devices.prepare_backend()
tf = pytest.importorskip("tensorflow")


def rounds_natively():
    cpu = pathlib.Path("/proc/cpuinfo")
    return cpu.exists() and {"avx512_bf16", "amx_bf16"} & set(cpu.read_text().split())


@pytest.mark.parametrize(
    ("precision", "jit_compile", "expected"),
    [
        ("mixed_bfloat16", "auto", True),
        ("mixed_bfloat16", "off", True),
        ("mixed_bfloat16", "on", False),
        ("mixed_float16", "auto", False),
        ("float32", "auto", False),
    ],
)
def test_only_bfloat16_without_xla_rounds_graphs(monkeypatch, precision, jit_compile, expected):
    monkeypatch.setattr(devices, "accelerator", lambda: "cpu")
    assert devices.resolve_precision(precision, jit_compile).rounds_graphs == expected
    monkeypatch.setattr(devices, "accelerator", lambda: "gpu")
    assert not devices.resolve_precision(precision, jit_compile).rounds_graphs


@pytest.mark.skipif(not rounds_natively(), reason="a processor without bfloat16 products")
def test_a_graph_rounds_convolutions_within_the_context_and_nothing_after_it():
    above_one = 1 + 2.0**-9  # rounds to 1 in bfloat16, whose significand has 8 bits
    faces = tf.constant(np.full((2, 48, 48, 16), above_one, np.float32))
    kernel = tf.ones((1, 1, 16, 16))

    @tf.function
    def convolve_and_add(x):
        return tf.nn.conv2d(x, kernel, 1, "SAME"), x + x

    exact = 16 * above_one
    convolved, added = convolve_and_add(faces)
    np.testing.assert_array_equal(convolved, np.float32(exact))
    with devices.graphs_rounded():
        convolved, added = convolve_and_add(faces)
    np.testing.assert_array_equal(convolved, np.float32(16))
    np.testing.assert_array_equal(added, np.float32(2 * above_one))
    convolved, _ = convolve_and_add(faces)
    np.testing.assert_array_equal(convolved, np.float32(exact))
    with devices.graphs_rounded(), devices.graphs_rounded(False):
        convolved, _ = convolve_and_add(faces)
    np.testing.assert_array_equal(convolved, np.float32(exact))


def test_rounding_is_switched_off_inside_a_context_and_restored():
    def option():
        options = tf.config.optimizer.get_experimental_options()
        return options.get("auto_mixed_precision_onednn_bfloat16", False)

    assert not option()
    with devices.graphs_rounded():
        assert option()
        with pytest.raises(ZeroDivisionError), devices.graphs_rounded(False):
            assert not option()
            1 / 0  # noqa: B018
        assert option()
    assert not option()


def test_other_backends_round_nothing_and_import_no_tensorflow(monkeypatch):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # an import of it fails
    for wanted in (True, False):
        with devices.graphs_rounded(wanted):
            pass


@pytest.mark.parametrize(
    ("kind", "precision", "jit_compile", "expected"),
    [
        ("cpu", "auto", "auto", devices.Precision("float32", "float32", False, False)),
        (
            "cpu",
            "mixed_bfloat16",
            "off",
            devices.Precision("mixed_bfloat16", "float32", True, False),
        ),
        (
            "cpu",
            "mixed_bfloat16",
            "on",
            devices.Precision("mixed_bfloat16", "mixed_bfloat16", False, False),
        ),
        (
            "gpu",
            "mixed_bfloat16",
            "off",
            devices.Precision("mixed_bfloat16", "mixed_bfloat16", False, False),
        ),
        ("gpu", "mixed_float16", "auto", devices.Precision(*["mixed_float16"] * 2, False, True)),
        ("tpu", "auto", "auto", devices.Precision(*["mixed_bfloat16"] * 2, False, False)),
        ("tpu", "float32", "auto", devices.Precision("float32", "float32", False, False)),
    ],
)
def test_precision_is_chosen_once(monkeypatch, kind, precision, jit_compile, expected):
    monkeypatch.setattr(devices, "accelerator", lambda: kind)
    assert devices.resolve_precision(precision, jit_compile) == expected


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), "float32"), ((7, 5), "mixed_float16"), ((9, 0), "mixed_bfloat16")],
)
def test_auto_precision_follows_the_capability_of_a_gpu(monkeypatch, capability, expected):
    details = {"compute_capability": capability, "device_name": "NVIDIA H100"}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * (kind == "GPU"))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    assert devices.resolve_precision("auto", "auto").name == expected
    assert devices.describe_devices() == "NVIDIA H100 (gpu)"
    devices.check_device("gpu")
    devices.check_device("gpu:0")
    with pytest.raises(UserError, match="before anything uses the backend. Received: NVIDIA H100"):
        devices.check_device("cpu")


@pytest.mark.parametrize(
    ("name", "visible", "expected"),
    [
        ("auto", "2,3", ("2,3", None)),
        ("auto", None, (None, None)),
        ("gpu", None, (None, None)),
        ("cpu", "2,3", ("-1", "cpu")),
        ("gpu:1", None, ("1", None)),
        ("gpu:1", "2,3", ("3", None)),
    ],
)
def test_selecting_a_device_sets_what_the_backends_read(monkeypatch, name, visible, expected):
    names = ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS")
    changed = {key: value for key, value in os.environ.items() if key not in names}
    if visible:
        changed[names[0]] = visible
    monkeypatch.setattr(os, "environ", changed)
    devices.select_device(name)
    assert tuple(changed.get(key) for key in names) == expected


@pytest.mark.parametrize("name", ["gpu:", "gpu:-1", "gpu:1,2", "GPU", "tpu", "", None, 0])
def test_other_devices_are_refused(name):
    with pytest.raises(UserError, match="--device: expected 'auto', 'cpu', 'gpu' or 'gpu:N'"):
        devices.select_device(name)


def test_a_gpu_that_is_not_visible_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with pytest.raises(UserError, match="one of the 2 GPUs .* Received: 'gpu:2'"):
        devices.select_device("gpu:2")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_the_processor_is_described_and_is_no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "accelerator", lambda: "cpu")
    monkeypatch.setattr(devices, "device_name", lambda: "AMD EPYC")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    assert devices.describe_devices() == "AMD EPYC, 2 cores; no GPU in use"
    devices.check_device("auto")
    devices.check_device("cpu")
    for name in ("gpu", "gpu:1"):
        with pytest.raises(UserError, match=f"compute on '{name}'.*Received: AMD EPYC, 2 cores"):
            devices.check_device(name)


@pytest.mark.slow
@pytest.mark.skipif(not imports.is_installed("jax"), reason="no JAX")
def test_jax_computes_on_the_selected_processor():
    code = (
        "from insideout_tf import devices; devices.select_device('cpu'); "
        "devices.prepare_backend(); devices.check_device('cpu'); "
        "print(devices.describe_devices())"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "no GPU in use" in done.stdout


def test_processors_of_a_container(tmp_path, monkeypatch):
    new, quota, period = (tmp_path / name for name in ("cpu.max", "quota", "period"))
    monkeypatch.setattr(processes, "QUOTAS", ((str(new),), (str(quota), str(period))))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def count():
        processes._read_quota.cache_clear()
        return processes.count_processors()

    assert count() == 64  # no container
    period.write_text("100000\n")
    for text, expected in (("-1", 64), ("250000", 3), ("1000", 1), ("x", 64)):
        quota.write_text(f"{text}\n")
        assert count() == expected, text
    for text, expected in (("max 100000", 64), ("150000 100000", 2), ("", 64)):
        quota.write_text("-1")
        new.write_text(f"{text}\n")
        assert count() == expected, text
    processes._read_quota.cache_clear()
