"""Which person a face shows, where the names of the files tell it."""

import pathlib
import re

import numpy as np

from insideout_tf.errors import UserError

DRAWS = 50  # of which the one with the best shares of the classes is chosen
# Names of files of CK+ and CK+48: person, sequence, frame (Lucey et al. 2010, read-me of CK+).
CKPLUS = re.compile(r"(?P<person>S\d{3})_(?P<sequence>\d{3})_(?P<frame>\d{8})\.\w+", re.IGNORECASE)
# JAFFE: person, emotion and take, running number (Lyons et al. 1998). NA is a person, NE an emotion.
JAFFE = re.compile(
    r"(?P<person>KA|KL|KM|KR|MK|NA|NM|TM|UY|YM)\.(?P<emotion>AN|DI|FE|HA|NE|SA|SU)\d\.\d+"
    r"\.(tiff?|jpe?g|png|bmp)",
    re.IGNORECASE,
)
# KDEF: session, person (with the gender), emotion, angle (Lundqvist et al. 1998). AF opens the names of
# half of the women and is the code of "afraid" too.
KDEF = re.compile(
    r"[AB](?P<person>[FM]\d\d)(?P<emotion>AF|AN|DI|HA|NE|SA|SU)(?P<angle>FL|HL|S|HR|FR)"
    r"\.(jpe?g|png|bmp)",
    re.IGNORECASE,
)


def find_people(names):
    """Returns the person of each file, a tuple of texts, or None if the names do not tell all of them.

    names: paths as texts. All of them must have the pattern of one data set: CK+, JAFFE or KDEF.
    """
    if not names:
        return None
    files = [pathlib.PurePosixPath(name).name for name in names]
    for pattern in (CKPLUS, JAFFE, KDEF):
        if not pattern.fullmatch(files[0]):
            continue
        found = [pattern.fullmatch(name) for name in files]
        people = tuple(match["person"].upper() for match in found if match)
        return people if len(people) == len(files) else None
    return None


def share_of(pattern, files):
    """Returns the share 0..1 of the names of `files` (paths) that have a pattern; 0 for no file."""
    hits = sum(bool(pattern.fullmatch(file.name)) for file in files)
    return hits / len(files) if files else 0.0


def groups_of(faces):
    """Returns a number for the person of each face, or else for its picture, int64 `[n]`, or None.

    Faces with one number are alike, so a split keeps them on one side.
    """
    groups = faces.people or faces.pictures
    return None if groups is None else np.unique(np.array(groups), return_inverse=True)[1]


def word_of(faces):
    """Returns what `groups_of` numbers: "person" or "picture"."""
    return "person" if faces.people is not None else "picture"


def count_people(faces):
    """Returns the number of people, and how many of them have faces of two usages; None if unknown."""
    if faces.people is None:
        return None, None
    parts = _list_usages(faces)
    return len(parts), sum(len(usages) > 1 for usages in parts.values())


def _list_usages(faces):
    """Returns {person: the usages of their faces, a set}; empty if the people are unknown."""
    parts: dict[str, set] = {}
    for person, usage in zip(faces.people or (), faces.usage):
        parts.setdefault(person, set()).add(int(usage))
    return parts


def check_parts(faces):
    """Raises `UserError` if a person has faces of two usages, so that figures would be too good."""
    parts = _list_usages(faces)
    shared = sorted(person for person, usages in parts.items() if len(usages) > 1)
    if shared:
        raise UserError(
            f"{faces.source}: expected each person in one part of the data, since a network recognises "
            "people it has seen. Divide the data by person (all in train/ and --folds 10 does it), or "
            "allow it with --set shared_people=true. Received: in two parts "
            f"{', '.join(shared[:5])}{', ...' if len(shared) > 5 else ''} ({len(shared):,} of "
            f"{len(parts):,})"
        )


def draw_part(groups, labels, fraction, seed):
    """Draws whole groups that have about the same share of every class.

    Args:
        groups: integers `[n]`, the group of each face.
        labels: integers `[n]`.
        fraction: the share of the groups in the part, 0..1.
        seed: the seed of the draw, a whole number.

    Returns:
        The positions of the part, int64, in ascending order, or None if no draw has every class on either
        side.
    """
    from sklearn.model_selection import GroupShuffleSplit

    total = len(np.unique(groups))
    if total < 2:
        return None
    size = min(max(1, round(total * fraction)), total - 1)
    counts = np.bincount(labels)
    is_used = counts > 0
    best, least = None, np.inf
    draws = GroupShuffleSplit(DRAWS, test_size=size, random_state=seed)
    for _, part in draws.split(labels, groups=groups):
        shares = np.bincount(labels[part], minlength=len(counts))[is_used] / counts[is_used]
        deviation = np.abs(shares - fraction).max()
        if 0 < shares.min() and shares.max() < 1 and deviation < least:
            best, least = np.sort(part), deviation
    return best
