"""`Contract`: which faces a model takes, and which classes its probabilities mean."""

import dataclasses

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError

MAX_CLASSES = 255  # labels are uint8
MAX_SIDE = 1024  # pixels
MIN_SIDE = 16  # pixels


@dataclasses.dataclass(frozen=True)
class Contract:
    """The input and the output of a model. The defaults are those of FER2013.

    Attributes:
        classes: the names of the classes, in the order of labels and probabilities.
        side: pixels a side of a face.
        channels: 1 (grey levels) or 3 (red, green, blue).
    """

    classes: tuple[str, ...] = EMOTIONS
    side: int = 48
    channels: int = 1

    @property
    def count(self):
        """The number of classes."""
        return len(self.classes)

    @property
    def face_shape(self):
        """The shape of one face as uint8: `(side, side)`, or `(side, side, 3)` in colour."""
        return (self.side, self.side) if self.channels == 1 else (self.side, self.side, 3)

    @property
    def input_shape(self):
        """The shape of one face as the model takes it: `(side, side, channels)`."""
        return (self.side, self.side, self.channels)

    def describe(self):
        """Returns the faces as text, such as "48×48 grey"."""
        return f"{self.side}×{self.side} {'grey' if self.channels == 1 else 'colour'}"


FER2013 = Contract()


def of_shapes(input_shape, output_shape, names, where):
    """Returns the `Contract` of a model with these shapes.

    Args:
        input_shape: (batch, side, side, channels).
        output_shape: (batch, classes).
        names: the classes, or None if the model does not name them. Seven classes are then those of
            FER2013, whose files of earlier releases name none; other classes are named "0", "1", ...
        where: the model, for messages.

    Raises:
        UserError: other shapes, or another number of names.
    """
    fits = (
        len(input_shape) == 4
        and len(output_shape) == 2
        and all(isinstance(each, int) for each in (*input_shape[1:], output_shape[1]))
        and input_shape[1] == input_shape[2]
        and MIN_SIDE <= input_shape[1] <= MAX_SIDE
        and input_shape[3] in (1, 3)
        and 2 <= output_shape[1] <= MAX_CLASSES
    )
    if not fits:
        raise UserError(
            f"{where}: expected a model from square faces [n, side, side, 1 or 3] to [n, classes] "
            f"probabilities, such as [n, 48, 48, 1] to [n, 7]. Received: {list(input_shape)} to "
            f"{list(output_shape)}"
        )
    count = output_shape[1]
    if names is None:
        names = EMOTIONS if count == len(EMOTIONS) else tuple(map(str, range(count)))
    if len(names) != count:
        raise UserError(
            f"{where}: expected the names of its {count} classes. Restore labels.txt beside it. "
            f"Received: {len(names)} names"
        )
    return Contract(tuple(names), input_shape[1], input_shape[3])


def parse_labels(text, where):
    """Returns the class names of a labels.txt, one a line.

    Raises `UserError` for an empty name, one that is there twice, or more than `MAX_CLASSES`.
    """
    names = tuple(line.strip() for line in text.removeprefix("\ufeff").splitlines() if line.strip())
    check_classes(names, where)
    return names


def check_classes(names, where):
    """Raises `UserError` unless there are 2 to `MAX_CLASSES` different, printable names."""
    is_good = (
        2 <= len(names) <= MAX_CLASSES
        and len({name.casefold() for name in names}) == len(names)
        and all(map(_is_class_name, names))
    )
    if not is_good:
        raise UserError(
            f"{where}: expected 2 to {MAX_CLASSES} different class names. Correct them. Received: "
            f"{len(names)}: {', '.join(map(repr, names[:10]))}"
        )


def check_class_names(names, where):
    """Raises `UserError` for a class name that labels.txt cannot hold: empty, or not printable."""
    for name in names:
        if not _is_class_name(name):
            raise UserError(
                f"{where}: expected printable names of classes. Rename the class. Received: "
                f"{name[:80]!r}"
            )


def _is_class_name(name):
    return name.strip() == name != "" and name.isprintable()


def format_labels(classes):
    """Returns the content of a labels.txt: one class a line."""
    return "".join(f"{name}\n" for name in classes)
