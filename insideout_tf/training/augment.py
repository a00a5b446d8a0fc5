"""Augmentation inside the jitted step: one affine warp that is also the resize, then the rest.

Everything is `keras.ops`, so the same lines compile into the train step on TensorFlow and JAX.
"""

import math

import keras
import numpy as np
from keras import ops

from insideout_tf.config import Augmentation
from insideout_tf.data.contract import FER2013

_COLUMNS = 18  # uniform numbers for an image; noise and blur need one more each

# The view that pseudo-labels come from (Sohn et al. 2020, arXiv 2001.07685, section 2.3).
WEAK = Augmentation(flip=True, shift=0.125)


def augment(pixels, labels, weights, settings, size, seed):
    """Augments one batch and resizes it, interpolating each pixel once.

    Two faces that are mixed with share r keep the exact loss of the pair, since cross-entropy is
    linear in the label. The weight is r·w₁+(1-r)·w₂, and the label (r·w₁·y₁+(1-r)·w₂·y₂) divided by
    it.

    Args:
        pixels: `[b, side, side]` or `[b, side, side, 3]`, 0..255, of any number type.
        labels: float32 `[b, classes]`; each row has the sum 1.
        weights: float32 `[b]`.
        settings: a `config.Augmentation`.
        size: pixels a side of the result.
        seed: a `keras.random.SeedGenerator`, part of the state that a resume restores.

    Returns:
        A tuple of images, float32 `[b, size, size, 1 or 3]` in 0..255, labels and weights.
    """
    count = pixels.shape[0]
    pixels = ops.cast(pixels, "float32")
    columns = _COLUMNS + bool(settings.noise) + bool(settings.blur)
    draws = keras.random.uniform((columns, count), seed=seed)
    # Brightness and contrast commute with interpolation, so they run on the pixels of the data.
    images = photometric(pixels, settings, draws[0], draws[1])
    images = blur(images, settings, draws[-1])
    images = add_noise(images, settings, draws[min(_COLUMNS, columns - 1)], seed)
    images = warp(images, affine_matrices(settings, draws[2:9]), size)
    images = erase(images, settings, draws[9:14])
    images, labels, weights = mix(images, labels, weights, settings, draws[14:18])
    return (images if _is_colour(images) else images[..., None]), labels, weights


def _is_colour(images):
    """Returns True for `[b, h, w, 3]`, False for `[b, h, w]`."""
    return len(images.shape) == 4


def _of_each(values, images):
    """Returns `[b]` or `[b, h, w]` with as many axes as `images`, so that they multiply."""
    missing = len(images.shape) - len(values.shape)
    return ops.reshape(values, (*values.shape, *(1,) * missing)) if missing else values


def photometric(images, settings, brightness, contrast):
    """Scales images about the mean of each and adds to it; draws uniform in 0..1, `[b]`."""
    if not (settings.brightness or settings.contrast):
        return images
    mean = ops.mean(images, axis=tuple(range(1, len(images.shape))), keepdims=True)
    factor = 1.0 + settings.contrast * (2.0 * _of_each(contrast, images) - 1.0)
    offset = 255.0 * settings.brightness * (2.0 * _of_each(brightness, images) - 1.0)
    return ops.clip((images - mean) * factor + mean + offset, 0.0, 255.0)


def blur(images, settings, strength):
    """Blurs images, as a lens out of focus or a distant face; strength `[b]` in 0..1.

    Each image is multiplied twice by a matrix of its own. The rows of the matrix are Gaussians with
    the sum 1 inside the image.
    """
    if not settings.blur:
        return images
    side = images.shape[1]
    deviation = ops.maximum(settings.blur * strength * (side / FER2013.side), 1e-2)
    axis = np.arange(side, dtype="float32")
    distance = ops.convert_to_tensor(np.square(axis[:, None] - axis[None, :]))
    rows = ops.exp(-distance / (2.0 * ops.square(deviation))[:, None, None])
    rows = rows / ops.sum(rows, axis=-1, keepdims=True)
    columns = ops.transpose(rows, (0, 2, 1))
    if not _is_colour(images):
        return ops.matmul(ops.matmul(rows, images), columns)
    images = ops.transpose(images, (0, 3, 1, 2))
    images = ops.matmul(ops.matmul(rows[:, None], images), columns[:, None])
    return ops.transpose(images, (0, 2, 3, 1))


def add_noise(images, settings, strength, seed):
    """Adds normal noise to images, as a camera does before any resize; strength `[b]` in 0..1."""
    if not settings.noise:
        return images
    deviation = 255.0 * settings.noise * _of_each(strength, images)
    normal = keras.random.normal(images.shape, seed=seed)
    return ops.clip(images + deviation * normal, 0.0, 255.0)


def affine_matrices(settings, draws):
    """Returns float32 `[b, 2, 3]` maps from result to source, in image sides about the centre.

    draws: float32 `[7, b]`, uniform in 0..1: flip, rotation, zoom, shift x, y, shear x, y.
    """
    signed = 2.0 * draws - 1.0
    mirror = ops.where(draws[0] < (0.5 if settings.flip else 0.0), -1.0, 1.0)
    angle = signed[1] * math.radians(settings.rotation_degrees)
    low, high = settings.zoom
    scale = 1.0 / (low + (high - low) * draws[2])
    shift_x, shift_y = signed[3] * settings.shift, signed[4] * settings.shift
    shear = math.radians(settings.shear_degrees)
    shear_x, shear_y = ops.tan(signed[5] * shear), ops.tan(signed[6] * shear)
    cosine, sine = ops.cos(angle) * scale, ops.sin(angle) * scale
    # rotation · shear · mirror
    rows = [
        [(cosine - sine * shear_y) * mirror, cosine * shear_x - sine, shift_x],
        [(sine + cosine * shear_y) * mirror, sine * shear_x + cosine, shift_y],
    ]
    return ops.stack([ops.stack(row, axis=-1) for row in rows], axis=1)


def warp(images, matrices, size):
    """Resamples float32 images through `[b, 2, 3]` maps to `[b, size, size]` or `[b, size, size, 3]`.

    The interpolation is bilinear. Pixel centres are at half pixels, so the identity map equals `keras.layers.Resizing`. Outside the
    source the nearest edge pixel counts. One gather for each result pixel fetches its four neighbours
    together, which XLA compiles on every device.
    """
    count, height, width, *channels = images.shape
    axis = (np.arange(size, dtype="float32") + 0.5) / size - 0.5
    x, y = np.meshgrid(axis, axis)
    grid = ops.convert_to_tensor(np.stack([x.ravel(), y.ravel(), np.ones(size * size, "float32")]))
    source = ops.matmul(matrices, grid)  # [b, 2, size²]
    source_x = ops.clip((source[:, 0] + 0.5) * width - 0.5, 0.0, width - 1.0)
    source_y = ops.clip((source[:, 1] + 0.5) * height - 0.5, 0.0, height - 1.0)
    left = ops.minimum(ops.floor(source_x), width - 2.0)
    top = ops.minimum(ops.floor(source_y), height - 2.0)
    right_share, bottom_share = source_x - left, source_y - top
    neighbours = ops.stack(
        [images[:, :-1, :-1], images[:, :-1, 1:], images[:, 1:, :-1], images[:, 1:, 1:]], axis=-1
    )
    first = np.arange(count, dtype="int32")[:, None] * ((height - 1) * (width - 1))
    index = first + ops.cast(top, "int32") * (width - 1) + ops.cast(left, "int32")
    flat = ops.reshape(neighbours, (-1, 4 * math.prod(channels)))
    near = ops.take(flat, index, axis=0)  # [b, size², 4]
    if channels:
        near = ops.reshape(near, (count, size * size, *channels, 4))
        right_share, bottom_share = right_share[..., None], bottom_share[..., None]
    upper = near[..., 0] + right_share * (near[..., 1] - near[..., 0])
    lower = near[..., 2] + right_share * (near[..., 3] - near[..., 2])
    return ops.reshape(upper + bottom_share * (lower - upper), (count, size, size, *channels))


def erase(images, settings, draws):
    """Fills a random rectangle with one grey level (Zhong et al. 2020); draws `[5, b]` in 0..1."""
    if not settings.erasing_probability:
        return images
    low, high = settings.erasing_area
    area = low + (high - low) * draws[0]
    aspect = ops.exp(math.log(3.0) * (2.0 * draws[1] - 1.0))  # 1/3 to 3
    width, height = ops.sqrt(area * aspect), ops.sqrt(area / aspect)
    chosen = ops.cast(draws[4] < settings.erasing_probability, "float32")
    box = _boxes(images.shape[1], draws[2], draws[3], width * chosen, height * chosen)
    level = 255.0 * _of_each((draws[4] / settings.erasing_probability) % 1.0, images)
    box = _of_each(box, images)
    return images * (1.0 - box) + level * box


def mix(images, labels, weights, settings, draws):
    """Mixes each image with its neighbour in the batch by mixup or cutmix; draws `[4, b]` in 0..1.

    If both are on, each applies to half of the mixed images.
    """
    mixup, cutmix = settings.mixup_alpha > 0, settings.cutmix_alpha > 0
    if not (mixup or cutmix):
        return images, labels, weights
    chosen = draws[0] < settings.mix_probability
    cut = draws[0] < settings.mix_probability * (0.5 if mixup and cutmix else float(cutmix))
    keep_mixup = (
        _beta_quantile(draws[1], settings.mixup_alpha) if mixup else ops.ones_like(draws[1])
    )
    size = images.shape[1]
    if cutmix:
        side = ops.sqrt(1.0 - _beta_quantile(draws[1], settings.cutmix_alpha))
        box = _boxes(size, draws[2], draws[3], side, side)
    else:
        box = ops.zeros((images.shape[0], size, size), "float32")
    own_share = ops.where(cut[:, None, None], 1.0 - box, keep_mixup[:, None, None])
    own_share = ops.where(chosen[:, None, None], own_share, 1.0)
    partner = ops.roll(images, 1, axis=0)
    shown = _of_each(own_share, images)
    images = images * shown + partner * (1.0 - shown)
    share = ops.mean(own_share, axis=(1, 2)) if cutmix else ops.where(chosen, keep_mixup, 1.0)
    own, other = share * weights, (1.0 - share) * ops.roll(weights, 1, axis=0)
    total = own + other
    blended = own[:, None] * labels + other[:, None] * ops.roll(labels, 1, axis=0)
    return images, blended / ops.maximum(total, 1e-12)[:, None], total


def _boxes(size, centre_x, centre_y, width, height):
    """Returns float32 `[b, size, size]`, 1 inside a box in fractions of the side, `[b]` each."""
    axis = ops.convert_to_tensor((np.arange(size, dtype="float32") + 0.5) / size)
    inside_x = ops.abs(axis[None, :] - centre_x[:, None]) < width[:, None] / 2
    inside_y = ops.abs(axis[None, :] - centre_y[:, None]) < height[:, None] / 2
    return ops.cast(ops.logical_and(inside_y[:, :, None], inside_x[:, None, :]), "float32")


def _beta_quantile(uniform, alpha):
    """Turns uniform draws `[b]` into Beta(alpha, alpha) by a table (gamma draws don't compile)."""
    from scipy import stats

    table = stats.beta.ppf(np.linspace(0, 1, 4097), alpha, alpha).astype("float32")
    position = uniform * 4096.0
    below = ops.minimum(ops.floor(position), 4095.0)
    index = ops.cast(below, "int32")
    table = ops.convert_to_tensor(table)
    low, high = ops.take(table, index), ops.take(table, index + 1)
    return low + (position - below) * (high - low)
