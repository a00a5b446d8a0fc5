"""Which reader? Recognises the layout of a data set and returns its `Faces`."""

import dataclasses
import os
import pathlib
import tempfile
import typing

from insideout_tf.data import (
    affectnet,
    archives,
    arrays,
    ckplus,
    expw,
    fer2013,
    ferplus,
    ferplus_folders,
    folders,
    folds,
    inputs,
    jaffe,
    kdef,
    rafdb,
    tables,
)
from insideout_tf.data import contract as contracts
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.contract import FER2013
from insideout_tf.data.faces import Faces
from insideout_tf.data.people import find_people
from insideout_tf.data.reading import Reading, regroup, resize
from insideout_tf.errors import UserError

DATA = "a file or folder of faces"  # in messages
MAX_ARCHIVE_DEPTH = 2  # the archive of the competition on Kaggle is a .zip around a .tar.gz
MAX_FOLDER_DEPTH = 8  # folders around the data


class Layout(typing.NamedTuple):
    """How a published data set lies on the disk.

    `is_layout(path)` recognises its folder or file, and `read(path, reading)` returns its `Faces`.
    `has_parts` tells whether its folder may have parts of class folders, such as train/.
    """

    name: str
    is_layout: typing.Callable
    read: typing.Callable
    has_parts: bool = False


# Published data sets, beside FER2013 and the general layouts. Exactly one may fit a path.
LAYOUTS = (
    Layout("RAF-DB", rafdb.is_official, rafdb.read_official),
    Layout("RAF-DB from Kaggle", rafdb.is_kaggle, rafdb.read_kaggle, has_parts=True),
    Layout("AffectNet with lists", affectnet.is_lists, affectnet.read_lists),
    Layout("AffectNet with arrays", affectnet.is_arrays, affectnet.read_arrays),
    Layout("AffectNet from Kaggle", affectnet.is_kaggle, affectnet.read_kaggle),
    Layout("CK+", ckplus.is_official, ckplus.read_official),
    Layout("CK+48", ckplus.is_folders, ckplus.read_folders),
    Layout("ckextended.csv", ckplus.is_extended, ckplus.read_extended),
    Layout("JAFFE", jaffe.is_layout, jaffe.read),
    Layout("KDEF", kdef.is_layout, kdef.read),
    Layout("ExpW", expw.is_layout, expw.read),
    Layout("FER+", ferplus_folders.is_layout, ferplus_folders.read),
)


def read_faces(
    path,
    bad_rows="stop",
    *,
    input_size=None,
    channels=None,
    classes=(),
    skip_classes=(),
    map_classes=(),
    ferplus_labels=None,
):
    """Reads faces with their labels. It never drops a bad row or image without a message.

    Args:
        path: FER2013 in any published form; the folder of RAF-DB, AffectNet, CK+, JAFFE, KDEF, ExpW or
            FER+ (see `LAYOUTS`); a folder tree of images with a folder for each class, in
            `train/`, `val/` and `test/` or alone; a table (CSV or parquet) of paths and labels; an
            .npz; a .zip or .tar.gz of one of these; `kaggle:OWNER/DATASET`; or `drawn` for the drawn
            faces of the quickstart.
        bad_rows: "stop" at the first bad row or image, or "skip" all of them and list their
            messages in `Faces.skipped`.
        input_size: the side in pixels to which every face is resized. By default all images have one
            size, which the faces keep.
        channels: 1 for grey levels, 3 for colour; by default as the data.
        classes: the names of the classes in the order of their numbers, for data that number them.
        skip_classes: classes that are excluded.
        map_classes: texts such as "anger=angry": the first class becomes the second.
        ferplus_labels: the path of fer2013new.csv, for the published fer2013.csv: the majority of FER+'s
            ten annotators becomes the label, one of eight classes.

    Returns:
        `Faces`, with `identified` set if these are the official faces in any form and order, or have
        the layout of a published data set.

    Raises:
        UserError: what is wrong, with the line or the file.

    Examples:
        >>> faces = read_faces("fer2013.csv")
        >>> faces.pixels.shape
        (35887, 48, 48)
        >>> read_faces("my_faces", input_size=100).classes
        ('bored', 'focused')
    """
    return read(
        path,
        Reading(
            bad_rows,
            input_size,
            channels,
            tuple(classes),
            tuple(skip_classes),
            tuple(map_classes),
            ferplus_labels=ferplus_labels and str(ferplus_labels),
        ),
    )


def read(path, reading):
    """Returns the `Faces` of a path; reading: a `Reading`. See `read_faces`."""
    text = str(path)
    if text == "drawn":
        from insideout_tf.data import drawn

        pixels, labels, usage = drawn.draw_all()
        faces = Faces(pixels, labels, usage, source="drawn")
    else:
        if text.startswith("kaggle:"):
            path = archives.download_from_kaggle(text.removeprefix("kaggle:"))
        faces = _read_any(inputs.to_path(path, DATA), reading)
    if faces.identified is None and faces.labels is not None and faces.contract == FER2013:
        faces = dataclasses.replace(faces, identified=fer2013.KNOWN_CONTENTS.get(faces.digest))
    if reading.ferplus_labels:
        faces = ferplus.relabel_by_majority(faces, reading.ferplus_labels)
    if faces.people is None and faces.pictures is None:
        faces = dataclasses.replace(faces, people=find_people(faces.names))
    faces = regroup(faces, reading)
    contracts.check_class_names(faces.classes, faces.source)
    faces = resize(faces, reading)
    return folds.choose_fold(faces, *reading.fold) if reading.fold else faces


def check_path(path):
    """Raises `UserError` if there is nothing at a path of `read_faces`: call it before long work."""
    text = str(path)
    if text != "drawn" and not text.startswith("kaggle:"):
        place = inputs.to_path(path, DATA)
        if not place.is_dir():
            _check_file(place)


def _read_any(path, reading, depth=0):
    """Returns the `Faces` in a file or folder of any layout. depth: the archives around it."""
    path, layout = _find_data(path)
    if layout is not None:
        return layout.read(path, reading)
    if os.path.isdir(path):
        return folders.read_tree(path, reading)
    _check_file(path)
    if path.name.lower().endswith(".npz"):
        return arrays.read_npz(path, reading)
    if tables.is_table(path):
        return tables.read_table(path, reading)
    if archives.is_archive(path):
        return _read_archive(path, reading, depth)
    return fer2013.read_csv(path, reading.bad_rows, reading.classes or EMOTIONS)


def _read_archive(path, reading, depth):
    """Extracts an archive into a temporary folder and returns the `Faces` in it.

    Messages name the archive and the file in it: `ARCHIVE » FILE`. The faces do not keep the name of a
    published file, since `identified` means the file that the user gave.
    """
    if depth == MAX_ARCHIVE_DEPTH:
        raise UserError(
            f"{path}: expected at most {MAX_ARCHIVE_DEPTH} archives in one another. Unpack it "
            "yourself and give the folder. Received: one more"
        )
    with tempfile.TemporaryDirectory(prefix="insideout_tf_") as folder:

        def rename(message):
            return message.replace(folder, f"{path} » ").replace("» /", "» ")

        archives.extract_archive(path, pathlib.Path(folder))
        try:
            in_memory = dataclasses.replace(reading, feed="memory")  # the folder will be gone
            faces = _read_any(pathlib.Path(folder), in_memory, depth + 1)
        except UserError as error:
            raise UserError(rename(str(error))) from None
    skipped = tuple(rename(message) for message in faces.skipped)
    is_file = faces.identified in fer2013.KNOWN_FILES.values()
    identified = None if is_file else faces.identified
    return dataclasses.replace(faces, source=str(path), identified=identified, skipped=skipped)


def _check_file(path):
    """Raises `UserError` unless `path` is a regular file with content."""
    if os.path.islink(path) and not os.path.exists(path):
        raise UserError(
            f"{path}: expected a file or a folder. Correct the link. Received: a link to nothing"
        )
    if not os.path.exists(path):
        raise UserError(
            f"{path}: expected a file or folder that exists (fer2013.csv, "
            "icml_face_data.csv, train.csv, .npz, .zip, .tar.gz, or a folder with "
            "class folders in train/ and test/). Check the path. Received: nothing there"
        )
    if not path.is_file():
        raise UserError(
            f"{path}: expected a file or a folder. Check the path. Received: a device or a pipe"
        )
    if path.stat().st_size == 0:
        raise UserError(
            f"{path}: expected a file of faces. Download it again. Received: an empty file"
        )


def _find_data(path):
    """Returns (the file or the folder of the data inside the folder `path`, its `Layout` or None)."""
    for _ in range(MAX_FOLDER_DEPTH):
        layout = find_layout(path)
        if layout is not None or not os.path.isdir(path):
            return path, layout
        if folders.find_parts(path) or folders.is_class_tree(path):
            return path, None
        path = _choose_child(path)
    raise UserError(
        f"{path}: expected the data at most {MAX_FOLDER_DEPTH} folders deep. Give the path of the "
        "data itself. Received: another folder"
    )


def find_layout(path):
    """Returns the one of `LAYOUTS` that a file or folder has, or None.

    Raises `UserError` if it has two, or one and parts of class folders: none of them is guessed.
    """
    if not os.path.isdir(path) and not os.path.isfile(path):
        return None
    found = [layout for layout in LAYOUTS if layout.is_layout(path)]
    names = [layout.name for layout in found]
    if found and not any(layout.has_parts for layout in found) and os.path.isdir(path):
        names += [f"{part.name}/" for part in folders.find_parts(path)]
    if len(names) > 1:
        raise UserError(
            f"{path}: expected the layout of one data set. Give the folder of one of them alone. "
            f"Received: {', '.join(names)}"
        )
    return found[0] if found else None


def _choose_child(path):
    """Returns the one data file, or else the one folder, inside a folder without parts."""
    children = [child for child in sorted(path.iterdir()) if not inputs.is_hidden(child)]
    files = [child for child in children if child.is_file()]
    by_name = {file.name.lower(): file for file in files}
    for name in ("fer2013.csv", "icml_face_data.csv", "train.csv"):
        if name in by_name:
            return by_name[name]
    suffixes = (".csv", ".csv.gz", ".npz", ".tar.gz", ".tgz", ".zip")
    data = [file for file in files if file.name.lower().endswith(suffixes)]
    inner = [child for child in children if child.is_dir()]
    if len(data) == 1:
        return data[0]
    if not data and len(inner) == 1:
        return inner[0]
    known = [child for child in inner if find_layout(child) is not None]
    if not data and len(known) == 1:
        return known[0]
    names = ", ".join(child.name for child in children[:8]) or "an empty folder"
    raise UserError(
        f"{path}: expected class folders with images, in train/, test/ or validation/ or alone, or "
        f"one file of faces. Give the path of the data itself. Received: {names}"
    )
