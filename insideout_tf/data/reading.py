"""`Reading`: how a data set is read, as its user settles what the files alone do not say."""

import dataclasses

from insideout_tf.data import contract as contracts
from insideout_tf.data.classes import canonical
from insideout_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Reading:
    """How to read a data set. The defaults take everything from the data.

    Attributes:
        bad_rows: "stop" at the first bad row or image, or "skip" all of them and list their messages.
        input_size: the side in pixels to which every face is resized; None: all have one size.
        channels: 1 for grey levels, 3 for colour; None: as the data.
        classes: the names of the classes in the order of their numbers; empty: as the data.
        skip_classes: classes that are excluded.
        map_classes: texts such as "anger=angry": the first class becomes the second.
        feed: "memory" decodes all images at once; "files" leaves them in their files until they are
            needed; "auto" is "files" if they would take more than `lazy.MEMORY_BYTES`.
        ferplus_labels: the path of fer2013new.csv: the majority of its annotators labels FER2013's faces.
        fold: (number from 1 on, number of folds, seed): the part of Training that becomes the test, as
            of `folds.choose_fold`; None: the parts of the data.
    """

    bad_rows: str = "stop"
    input_size: int | None = None
    channels: int | None = None
    classes: tuple[str, ...] = ()
    skip_classes: tuple[str, ...] = ()
    map_classes: tuple[str, ...] = ()
    feed: str = "auto"
    ferplus_labels: str | None = None
    fold: tuple[int, int, int] | None = None

    def __post_init__(self):
        if self.bad_rows not in ("stop", "skip"):
            raise UserError(
                f"bad_rows: expected 'stop' or 'skip'. Choose one of them. Received: {self.bad_rows!r}"
            )
        low, high = contracts.MIN_SIDE, contracts.MAX_SIDE
        if self.input_size is not None and not low <= self.input_size <= high:
            raise UserError(
                f"--input-size: expected {low} to {high} pixels. Received: {self.input_size}"
            )
        if self.channels not in (None, 1, 3):
            raise UserError(
                f"--channels: expected 1 (grey) or 3 (colour). Received: {self.channels}"
            )
        if self.classes:
            contracts.check_classes(self.classes, "--classes")
        self.pairs()

    def pairs(self):
        """Returns `map_classes` as a dict from canonical word to name; raises `UserError`."""
        found: dict[str, str] = {}
        for text in self.map_classes:
            old, separator, new = text.partition("=")
            if not separator or not old.strip() or not new.strip() or canonical(old) in found:
                raise UserError(
                    "--map: expected pairs such as anger=angry,joy=happy, each first name once. "
                    f"Received: {text!r}"
                )
            found[canonical(old)] = new.strip()
        return found


AS_THE_DATA = Reading()


def of_experiment(experiment):
    """Returns the `Reading` of an experiment."""
    return Reading(
        experiment.bad_rows,
        experiment.input_size,
        experiment.channels,
        experiment.classes,
        experiment.skip_classes,
        experiment.map_classes,
        {"device": "memory"}.get(experiment.feed, experiment.feed),
        experiment.ferplus_labels,
        (experiment.fold, experiment.folds, experiment.split_seed or 0)
        if experiment.fold
        else None,
    )


def regroup(faces, reading):
    """Returns `Faces` without `skip_classes` and with the names of `map_classes`, both of `reading`.

    The number of faces that are excluded is listed in `Faces.skipped`.

    Raises:
        UserError: a class that the data lack, or fewer than one class left.
    """
    if not (reading.skip_classes or reading.map_classes) or faces.labels is None:
        return faces
    pairs, skipped = reading.pairs(), {canonical(name) for name in reading.skip_classes}
    words = [canonical(name) for name in faces.classes]
    for option, asked in (("--skip-classes", skipped), ("--map", set(pairs))):
        missing = sorted(asked - set(words))
        if missing:
            raise UserError(
                f"{option}: expected classes of {faces.source}: {', '.join(faces.classes[:20])}. "
                f"Received: {', '.join(missing)}"
            )
    names: list[str] = []
    mapping = []
    for name, word in zip(faces.classes, words):
        name = pairs.get(word, name)
        if word in skipped or canonical(name) in skipped:
            mapping.append(-1)
            continue
        known = [canonical(each) for each in names]
        if canonical(name) not in known:
            known.append(canonical(name))
            names.append(name)
        mapping.append(known.index(canonical(name)))
    counts = {
        name: int((faces.labels == label).sum())
        for label, (name, new) in enumerate(zip(faces.classes, mapping))
        if new < 0
    }
    if not names:
        raise UserError("--skip-classes: expected at least one class to stay. Received: all")
    faces = faces.relabel(names, mapping)
    messages = tuple(f"class {name}: {count:,} faces excluded" for name, count in counts.items())
    return dataclasses.replace(faces, skipped=faces.skipped + messages)


def resize(faces, reading):
    """Returns `Faces` with the side and the channels of `reading`; readers of images need it not."""
    import numpy as np
    from PIL import Image

    from insideout_tf.data import images

    now = faces.contract
    side, channels = reading.input_size or now.side, reading.channels or now.channels
    wanted = dataclasses.replace(now, side=side, channels=channels)
    if wanted == now:
        return faces
    pixels = np.empty((len(faces), *wanted.face_shape), np.uint8)
    for row, face in enumerate(faces.pixels):
        pixels[row] = images.shrink(Image.fromarray(face), wanted)
    return dataclasses.replace(faces, pixels=pixels)
