"""Check the audit's doubtful labels of FER2013 against the ten annotators of FER+.

    python benchmarks/audit.py --data fer2013.csv --ferplus fer2013new.csv

The faces are those of PublicTest. `small` has never trained on them nor on their FER+ votes (PublicTest chose
its epoch). For the first N doubtful labels of the audit, the table says for how many the majority of the ten
annotators (Barsoum et al. 2016) chose another class than FER2013, and for how many the class that the
audit suggests. Faces that the majority calls contempt, unknown or no face count as another class. The row
"all faces" says the same of every face.
"""

import argparse

import numpy as np

import insideout_tf
from insideout_tf import errors
from insideout_tf.data import ferplus, splits
from insideout_tf.data.classes import canonical, match_classes

FIRST = (100, 200, 500)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--ferplus", required=True)
    parser.add_argument("--model", default="small", help="predict by this model (default: small)")
    parser.add_argument("--probe", action="store_true", help="predict by classifiers on embeddings")
    parser.add_argument("--method", default="margin", help="margin (default) or cleanlab")
    arguments = parser.parse_args()
    faces = insideout_tf.read_faces(arguments.data)
    counts = ferplus.read_counts(arguments.ferplus, faces)
    rows = splits.evaluation_rows(faces, "public", None)
    majority = counts[rows].argmax(1)
    names = [canonical(name) for name in ferplus.COLUMNS]
    label_of = np.array(match_classes(names, faces.classes))[majority]  # -1: no class of FER2013
    found = insideout_tf.audit_labels(
        arguments.data,
        None if arguments.probe else arguments.model,
        split="public",
        method=arguments.method,
    )
    print(f"predicted by {found.predicted_by}; {len(found.issues):,} doubtful labels\n")
    print("| faces | majority chose another class | majority chose the suggested class |")
    print("|---|---|---|")
    labels = faces.labels[rows]
    print(f"| all {len(rows):,} faces | {(label_of != labels).mean():.1%} | |")
    for first in FIRST:
        issues = found.issues[:first]
        chosen = np.array([each.row for each in issues])
        suggested = np.array([each.suggested for each in issues])
        other = (label_of[chosen] != labels[chosen]).sum()
        agreed = (label_of[chosen] == suggested).sum()
        print(f"| first {len(issues)} | {other} ({other / len(issues):.0%}) | {agreed} |")


if __name__ == "__main__":
    with errors.reported("audit.py"):
        main()
