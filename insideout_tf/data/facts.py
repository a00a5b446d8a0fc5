"""What is in a data set: counts by part and class, duplicates, blank images, people."""

import numpy as np

from insideout_tf.data import people
from insideout_tf.data.faces import USAGES, content_keys


def examine(faces, has_blanks=True):
    """Returns counts, duplicates and blanks of `Faces` as plain Python values.

    has_blanks: count the blank images, which decodes faces that are in files; False: `blank` is None.

    `skipped`: what is wrong with each excluded row. `duplicates`: `distinct` images; `groups_within`:
    groups of identical images inside one usage
    (summed over usages), `..._conflicting` those with different labels; `groups_across`: groups
    found in two or more usages. `blank`: images of one single grey level. `people`: how many there are,
    and `people_in_two_usages`: how many of them are in two or more usages, None if unknown.
    """
    usages = {}
    for index, name in enumerate(USAGES):
        chosen = faces.usage == index
        if chosen.any():
            per_class = None
            if faces.labels is not None:
                counts = np.bincount(faces.labels[chosen], minlength=len(faces.classes))
                per_class = {name: int(n) for name, n in zip(faces.classes, counts)}
            usages[name] = {"n": int(chosen.sum()), "per_class": per_class}
    known, shared = people.count_people(faces)
    return {
        "source": faces.source,
        "identified": faces.identified,
        "classes": list(faces.classes),
        "side": faces.contract.side,
        "channels": faces.contract.channels,
        "usages": usages,
        "duplicates": _duplicates(faces),
        "people": known,
        "people_in_two_usages": shared,
        "blank": count_blank(faces.pixels) if has_blanks else None,
        "skipped": list(faces.skipped),
    }


def count_blank(pixels, together=4096):
    """Returns how many images have one single level; `together` are in memory at a time."""
    count = 0
    for start in range(0, len(pixels), together):
        faces = np.asarray(pixels[start : start + together])
        flat = faces.reshape(len(faces), -1)
        count += int((flat.min(1) == flat.max(1)).sum())
    return count


def _duplicates(faces):
    _, group = np.unique(content_keys(faces.pixels), return_inverse=True)
    distinct = int(group.max()) + 1
    usages = np.unique(faces.usage)
    labels = np.zeros(len(faces), np.int64) if faces.labels is None else faces.labels
    low = np.full((len(usages), distinct), 255, np.int64)
    high = np.full((len(usages), distinct), -1, np.int64)
    counts = np.zeros((len(usages), distinct), np.int64)
    for position, usage in enumerate(usages):
        chosen = faces.usage == usage
        counts[position] = np.bincount(group[chosen], minlength=distinct)
        np.minimum.at(low[position], group[chosen], labels[chosen])
        np.maximum.at(high[position], group[chosen], labels[chosen])
    within = counts >= 2
    across = (counts > 0).sum(0) >= 2
    differing = low.min(0) < high.max(0)
    return {
        "distinct": distinct,
        "groups_within": int(within.sum()),
        "groups_within_conflicting": int((within & (low < high)).sum()),
        "groups_across": int(across.sum()),
        "groups_across_conflicting": int((across & differing).sum()),
    }
