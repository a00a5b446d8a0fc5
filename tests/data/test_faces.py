"""The digest ignores the order of faces and depends on every byte; keys are equal with the pixels."""

import numpy as np

from insideout_tf.data.faces import Faces, content_digest, content_keys

RANDOM = np.random.default_rng(1)


def test_digest_ignores_the_order_and_depends_on_every_byte():
    pixels = RANDOM.integers(0, 256, (9, 48, 48), np.uint8)
    labels, usage = np.arange(9, dtype=np.uint8) % 7, np.zeros(9, np.uint8)
    order = RANDOM.permutation(9)
    digest = content_digest(pixels, labels, usage)
    assert content_digest(pixels[order], labels[order], usage[order]) == digest
    assert Faces(pixels, labels, usage, "a.csv").digest == digest
    for array in (pixels, labels, usage):
        for place in (0, -1):
            array.flat[place] ^= 1
            assert content_digest(pixels, labels, usage) != digest
            array.flat[place] ^= 1
    # A face that occurs twice counts twice, and no label differs from label 0.
    assert content_digest(*(array[[0, 0, 1]] for array in (pixels, labels, usage))) != (
        content_digest(*(array[[0, 1, 1]] for array in (pixels, labels, usage)))
    )
    assert content_digest(pixels, None, usage) != content_digest(pixels, labels * 0, usage)


def test_keys_are_equal_if_all_pixels_are():
    pixels = RANDOM.integers(0, 256, (4, 48, 48), np.uint8)
    pixels[2] = pixels[0]
    pixels[3] = pixels[0]
    pixels[3, -1, -1] ^= 1
    for array in (pixels, np.asfortranarray(pixels)):
        keys = content_keys(array)
        assert keys.shape == (4,)
        assert (keys[:, None] == keys).astype(int).tolist() == [
            [1, 0, 1, 0],
            [0, 1, 0, 0],
            [1, 0, 1, 0],
            [0, 0, 0, 1],
        ]
