"""Writes the emotions of the faces in a folder of pictures to a CSV file, one row a face.

    python examples/folder_to_csv.py PHOTOS faces.csv

A picture that cannot be read gets a line on standard error. The others go on; the exit status is then 1.
"""

import argparse
import csv
import pathlib
import sys

import numpy as np

import insideout_tf
from insideout_tf import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("csv", type=pathlib.Path, help="the file to write; it must be new")
    parser.add_argument("--model", default="small", help="packaged model, run folder or file")
    arguments = parser.parse_args()
    try:
        failures = write_table(arguments.folder, arguments.csv, arguments.model)
    except (UserError, OSError) as error:
        sys.exit(f"folder_to_csv.py: {error}")
    sys.exit(1 if failures else 0)


def write_table(folder, out, model):
    """Writes the table and returns the number of pictures that could not be read."""
    if not folder.is_dir():
        raise UserError(f"folder: expected a folder of pictures. Received: {folder}")
    if out.exists() or not out.parent.is_dir():
        raise UserError(
            f"csv: expected a new file in a folder. Choose another name. Received: {out}"
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(
            f"{folder}: expected pictures ({', '.join(SUFFIXES)}). Received: none there"
        )
    insideout_tf.predict_emotions(np.zeros((48, 48), np.uint8), model)  # a wrong model stops here
    rows, failures = [], 0
    for path in paths:
        try:
            faces = insideout_tf.detect_emotions(path, model)
        except (UserError, OSError) as error:
            print(f"folder_to_csv.py: {error}", file=sys.stderr)
            failures += 1
            continue
        for face in faces:
            box = dict(zip(("left", "top", "width", "height"), face["box"] or ()))
            probabilities = {name: f"{p:.4f}" for name, p in face["probabilities"].items()}
            rows.append({"picture": str(path), "emotion": face["emotion"], **box, **probabilities})
    columns = ["picture", "emotion", "left", "top", "width", "height"]
    columns += [name for name in (rows[0] if rows else ()) if name not in columns]
    with open(out, "x", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)  # a face that is the whole picture has no box
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} faces in {len(paths) - failures} pictures: {out}")
    return failures


if __name__ == "__main__":
    main()
