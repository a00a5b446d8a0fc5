"""Half precision on a processor rounds what it says, while it says so."""

import os
import pathlib

import numpy as np
import pytest

from insideout_tf import devices
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
    with devices.graphs_rounded(True):
        convolved, added = convolve_and_add(faces)
    np.testing.assert_array_equal(convolved, np.float32(16))
    np.testing.assert_array_equal(added, np.float32(2 * above_one))
    convolved, _ = convolve_and_add(faces)
    np.testing.assert_array_equal(convolved, np.float32(exact))


def test_a_device_by_name_decides_what_the_backend_sees(monkeypatch):
    for name, visible in (("auto", None), ("gpu", None), ("gpu:1", "1"), ("cpu", "-1")):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.delenv("JAX_PLATFORMS", raising=False)
        devices.select_device(name)
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
    for name in ("tpu", "gpu:", "gpu:x", "cuda", ""):
        with pytest.raises(UserError, match="expected auto, cpu, gpu or gpu:N"):
            devices.select_device(name)


def test_a_gpu_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(devices, "accelerator", lambda: "cpu")
    with pytest.raises(UserError, match="--device gpu:1: expected a GPU that"):
        devices.check_device("gpu:1")
    devices.check_device("cpu")
    assert devices.describe_devices().endswith("cores; no GPU in use")
    monkeypatch.setattr(devices, "accelerator", lambda: "gpu")
    devices.check_device("gpu")


def test_rounding_can_be_switched_off_inside_a_context():
    import tensorflow as tf

    def is_rounding():
        options = tf.config.optimizer.get_experimental_options()
        return options.get("auto_mixed_precision_onednn_bfloat16", False)

    with devices.graphs_rounded(True):
        assert is_rounding()
        with devices.graphs_rounded(False):
            assert not is_rounding()
        assert is_rounding()
    assert not is_rounding()
