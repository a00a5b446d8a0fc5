"""Half precision on a processor rounds what it says, while it says so."""

import pathlib

import numpy as np
import pytest

from insideout_tf import devices

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
    assert devices.rounds_graphs(precision, jit_compile) == expected
    monkeypatch.setattr(devices, "accelerator", lambda: "gpu")
    assert not devices.rounds_graphs(precision, jit_compile)


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
