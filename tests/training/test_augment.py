"""The fused warp is exact at the identity, the mixing keeps the loss, the whole compiles."""

import dataclasses

import numpy as np
import pytest

from insideout_tf.config import Augmentation

FULL = Augmentation(
    flip=True,
    rotation_degrees=20.0,
    zoom=(0.8, 1.2),
    shift=0.1,
    shear_degrees=8.0,
    brightness=0.1,
    contrast=0.3,
    erasing_probability=0.5,
    mixup_alpha=0.4,
    cutmix_alpha=1.0,
    mix_probability=0.8,
)


def batch(count=8, seed=0):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, 48, 48), np.uint8)
    labels = np.eye(7, dtype=np.float32)[random.integers(0, 7, count)]
    return pixels, labels, random.uniform(0.5, 2, count).astype(np.float32)


def run(settings, size=64, seed=1, count=8):
    import keras

    from insideout_tf.training import augment

    generator = keras.random.SeedGenerator(seed)
    return [np.asarray(a) for a in augment.augment(*batch(count), settings, size, generator)]


@pytest.mark.parametrize("size", [32, 48, 64, 100, 224])
def test_identity_equals_resizing(size):
    import keras

    from insideout_tf.training import augment

    pixels = batch()[0].astype(np.float32)
    expected = np.asarray(keras.layers.Resizing(size, size)(pixels[..., None]))[..., 0]
    warped = np.asarray(
        augment.warp(pixels, np.tile(np.eye(2, 3, dtype=np.float32), (8, 1, 1)), size)
    )
    assert np.abs(warped - expected).max() < 2e-3  # of 255: float32 rounding of coordinates
    images, labels, weights = run(Augmentation(), size)
    assert np.abs(images[..., 0] - expected).max() < 2e-3
    assert np.array_equal(labels, batch()[1]) and np.array_equal(weights, batch()[2])


def test_flip_shift_and_quarter_turn_are_exact():
    from insideout_tf.training import augment

    pixels = batch()[0].astype(np.float32)

    def warp(matrix):
        matrices = np.broadcast_to(np.array(matrix, np.float32), (8, 2, 3))
        return np.asarray(augment.warp(pixels, matrices, 48))

    assert np.abs(warp([[-1, 0, 0], [0, 1, 0]]) - pixels[:, :, ::-1]).max() < 2e-3
    shifted = warp([[1, 0, 5 / 48], [0, 1, 0]])
    assert np.abs(shifted[:, :, :-5] - pixels[:, :, 5:]).max() < 2e-3
    assert np.abs(shifted[:, :, -5:] - pixels[:, :, -1:]).max() < 2e-3  # the edge repeats
    assert np.abs(warp([[0, -1, 0], [1, 0, 0]]) - np.rot90(pixels, 1, (1, 2))).max() < 2e-2


def test_composition_matches_an_independent_resampler():
    from scipy import ndimage

    from insideout_tf.training import augment

    draws = np.random.default_rng(3).uniform(0, 1, (7, 8)).astype(np.float32)
    matrices = np.asarray(augment.affine_matrices(FULL, draws))
    pixels = ndimage.gaussian_filter(batch()[0].astype(np.float32), (0, 2, 2))
    mine = np.asarray(augment.warp(pixels, matrices, 60))
    centre = np.arange(60) + 0.5
    x, y = np.meshgrid(centre / 60 - 0.5, centre / 60 - 0.5)
    for image, matrix, result in zip(pixels, matrices.astype(np.float64), mine):
        source = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(3600)])
        at = (source[::-1] + 0.5) * 48 - 0.5
        expected = ndimage.map_coordinates(image, at, order=1, mode="nearest").reshape(60, 60)
        assert np.abs(result - expected).max() < 0.05


def test_matrices_stay_within_the_settings():
    from insideout_tf.training import augment

    draws = np.random.default_rng(0).uniform(0, 1, (7, 4000)).astype(np.float32)
    settings = dataclasses.replace(FULL, shear_degrees=0.0)
    matrices = np.asarray(augment.affine_matrices(settings, draws))
    determinant = np.linalg.det(matrices[:, :, :2])
    zoom = 1 / np.sqrt(np.abs(determinant))
    assert 0.799 < zoom.min() < 0.81 and 1.19 < zoom.max() < 1.201
    assert 0.45 < (determinant < 0).mean() < 0.55
    assert 0.095 < np.abs(matrices[:, :, 2]).max() <= 0.1
    angle = np.degrees(np.arctan2(matrices[:, 0, 1], matrices[:, 1, 1]))
    assert 19 < np.abs(angle).max() <= 20.001


def test_blur_is_gaussian_and_differs_by_image():
    from scipy import ndimage

    from insideout_tf.training import augment

    images = np.random.default_rng(0).uniform(0, 255, (5, 48, 48)).astype(np.float32)
    strength = np.array([0, 0.2, 0.5, 0.8, 1.0], np.float32)
    blurred = np.asarray(augment.blur(images, Augmentation(blur=2.0), strength))
    assert np.array_equal(blurred[0], images[0])
    for image, found, deviation in zip(images[1:], blurred[1:], 2 * strength[1:]):
        expected = ndimage.gaussian_filter(image, deviation, truncate=8)
        assert np.abs(found - expected)[12:-12, 12:-12].max() < 0.01
    grey = np.full_like(images, 77.0)  # the edge is no darker
    assert np.allclose(augment.blur(grey, Augmentation(blur=2.0), strength), 77.0, atol=1e-3)
    # In pixels of the 48, also where the resize came first.
    large = np.asarray(
        augment.blur(images.repeat(2, 1).repeat(2, 2), Augmentation(blur=2.0), strength)
    )
    assert np.abs(large[4, ::2, ::2] - blurred[4]).mean() < 6
    images, labels, weights = run(Augmentation(blur=1.5, noise=0.05), 48)
    pixels, given, given_weights = batch()
    assert np.array_equal(labels, given) and np.array_equal(weights, given_weights)
    sharp, _, _ = run(Augmentation(noise=0.05), 48)
    assert images.shape == sharp.shape and np.abs(np.diff(images[..., 0])).mean() < (
        np.abs(np.diff(sharp[..., 0])).mean()
    )


def test_noise_has_a_deviation_of_its_own_in_each_image():
    import keras

    from insideout_tf.training import augment

    settings, count = Augmentation(noise=0.1), 400
    grey = np.full((count, 48, 48), 128.0, np.float32)
    strength = np.random.default_rng(0).uniform(0, 1, count).astype(np.float32)
    generator = keras.random.SeedGenerator(0)
    noisy = np.asarray(augment.add_noise(grey, settings, strength, generator))
    assert np.allclose(noisy.std((1, 2)), 25.5 * strength, rtol=0.1, atol=0.01)
    assert np.abs(noisy.mean((1, 2)) - 128).max() < 3
    assert np.abs(np.corrcoef(noisy[:8].reshape(8, -1))[~np.eye(8, dtype=bool)]).max() < 0.1
    images, labels, weights = run(settings, 48)
    pixels, given, given_weights = batch()
    assert np.array_equal(labels, given) and np.array_equal(weights, given_weights)
    assert 1 < np.abs(images[..., 0] - pixels).mean() < 15
    assert images.min() >= 0 and images.max() <= 255


def test_ranges_shapes_and_seeds():
    images, labels, weights = run(FULL)
    assert images.shape == (8, 64, 64, 1) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 255
    assert np.allclose(labels.sum(1), 1, atol=1e-5)
    again, other = run(FULL), run(FULL, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip((images, labels, weights), again))
    assert not np.array_equal(images, other[0])


@pytest.mark.parametrize(
    "settings",
    [
        Augmentation(mixup_alpha=1.0),
        Augmentation(cutmix_alpha=1.0),
        Augmentation(mixup_alpha=0.2, cutmix_alpha=1.0, mix_probability=0.5),
    ],
)
def test_mixing_keeps_the_loss_of_the_pair(settings):
    """weight · CE(mixed label) = share·w₁·CE(y₁) + (1-share)·w₂·CE(y₂), for any prediction."""
    count = 64
    pixels, labels, weights = batch(count)
    images, mixed, total = run(settings, 48, count=count)
    partner = np.roll(np.arange(count), 1)
    # The share each pixel keeps, recovered from the images themselves.
    own, other = pixels.astype(np.float64), pixels[partner].astype(np.float64)
    difference = own - other
    share = ((images[..., 0] - other) * difference).sum((1, 2)) / (difference**2).sum((1, 2))
    log_p = np.log(np.random.default_rng(5).dirichlet(np.ones(7), count))
    loss, loss_other = -(labels * log_p).sum(1), -(labels[partner] * log_p).sum(1)
    expected = share * weights * loss + (1 - share) * weights[partner] * loss_other
    found = total * -(mixed * log_p).sum(1)
    tolerance = 0.35 if settings.cutmix_alpha else 0.01  # a box estimates its area with noise
    assert np.abs(found - expected).max() < tolerance
    assert np.abs(found - expected).mean() < tolerance / 5
    assert share.min() > -0.01 and share.max() < 1.01
    if settings.mix_probability == 1:
        assert (share < 0.99).mean() > 0.6


def test_mixup_shares_follow_the_beta_distribution():
    from scipy import stats

    from insideout_tf.training import augment

    uniform = np.linspace(0, 1, 20001).astype(np.float32)
    for alpha in (0.5, 1.0, 4.0):  # below, float32 cannot tell the top quantiles from 1
        quantile = np.asarray(augment._beta_quantile(uniform, alpha))
        assert stats.kstest(quantile, stats.beta(alpha, alpha).cdf).statistic < 2e-3


def test_erasing_covers_the_asked_share():
    settings = Augmentation(erasing_probability=0.5, erasing_area=(0.1, 0.1))
    from insideout_tf.training import augment

    draws = np.random.default_rng(0).uniform(0, 1, (5, 2000)).astype(np.float32)
    images = np.full((2000, 48, 48), -1.0, np.float32)
    erased = np.asarray(augment.erase(images, settings, draws))
    covered = (erased >= 0).mean((1, 2))
    assert 0.45 < (covered > 0).mean() < 0.55
    assert covered.max() < 0.13


@pytest.mark.parametrize("settings", [Augmentation(), FULL])
def test_eager_graph_xla_and_tf_data_agree(settings, monkeypatch):
    """One set of draws gives one result everywhere (XLA draws its own numbers, hence the fixed ones)."""
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's own compilers")
    import tensorflow as tf

    from insideout_tf.training import augment

    draws = np.random.default_rng(0).uniform(0, 1, (augment._COLUMNS, 8)).astype(np.float32)
    monkeypatch.setattr(keras.random, "uniform", lambda *_, **__: tf.constant(draws))

    def call(pixels, labels, weights):
        return augment.augment(pixels, labels, weights, settings, 64, None)

    eager = call(*batch())
    results = [
        tf.function(call)(*batch()),
        tf.function(call, jit_compile=True)(*batch()),
        next(iter(tf.data.Dataset.from_tensors(batch()).map(call))),
    ]
    for result in results:
        for a, b in zip(eager, result):
            # A pixel on the edge of a box may fall on either side under another rounding.
            differs = np.abs(np.asarray(a) - np.asarray(b)) > 1e-2
            assert differs.mean() < 1e-3


def test_whole_augmentation_with_its_random_numbers_compiles_under_xla():
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's own compiler")
    import tensorflow as tf

    from insideout_tf.training import augment

    generator = keras.random.SeedGenerator(4)

    @tf.function(jit_compile=True)
    def call(pixels, labels, weights):
        settings = dataclasses.replace(FULL, noise=0.1, blur=1.5)
        return augment.augment(pixels, labels, weights, settings, 64, generator)

    first, second = call(*batch())[0], call(*batch())[0]
    assert np.isfinite(first).all() and not np.array_equal(first, second)


@pytest.mark.slow
@pytest.mark.fer2013
def test_renders_a_sheet_of_augmented_faces(real, tmp_path):
    """Writes the sheet a person looks at: every kind changes each face and leaves a picture of it."""
    import keras
    from PIL import Image

    from insideout_tf.evaluation import plots
    from insideout_tf.training import augment

    rows = np.flatnonzero(real.usage == 0)[:6]
    labels, weights = np.eye(7, dtype=np.float32)[real.labels[rows]], np.ones(6, np.float32)

    def render(settings):
        generator = keras.random.SeedGenerator(0)
        images, _, _ = augment.augment(real.pixels[rows], labels, weights, settings, 96, generator)
        return np.asarray(images)[..., 0]

    original = render(Augmentation())
    augmented, captions = [], []
    for name, settings in (
        ("geometry", Augmentation(flip=True, rotation_degrees=20.0, zoom=(0.8, 1.2), shift=0.1)),
        ("light", Augmentation(brightness=0.2, contrast=0.5)),
        ("noise", Augmentation(noise=0.1)),
        ("blur", Augmentation(blur=2.0)),
        ("erasing", Augmentation(erasing_probability=1.0)),
        ("mixup", Augmentation(mixup_alpha=1.0)),
        ("cutmix", Augmentation(cutmix_alpha=1.0)),
        ("all", FULL),
    ):
        images = render(settings)
        changes = np.abs(images - original).mean((1, 2))
        assert (changes > 0.5).sum() >= 4 and changes.mean() > 2, (name, changes)
        contrast = images.std((1, 2)) / original.std((1, 2))
        assert contrast.min() > 0.3, (name, contrast)  # no blank picture
        augmented += list(images)
        captions += [name] * 6
    path = tmp_path / "augmented.png"
    plots.save(plots.sheet(augmented, captions, "augmented faces"), path)
    with Image.open(path) as picture:  # without an original beside them
        assert np.asarray(picture.convert("L")).std() > 20
