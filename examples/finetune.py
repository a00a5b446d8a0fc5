"""Trains the packaged `small` further on faces of your own, and compares the two on the test faces.

    python examples/finetune.py MY_FACES --run-dir runs/mine --epochs 10

MY_FACES is a folder of class folders, in `train/`, `val/` and `test/` or alone, or any other data that
`insideout inspect` reads.
"""

import argparse
import sys

import insideout_tf
from insideout_tf import UserError

START = "small"
TEST = 2  # in `Faces.usage`: 0 trains, 1 chooses the epoch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--run-dir", default="runs/finetune", help="the folder of the new run")
    parser.add_argument("--epochs", type=int, default=30, help="of the last stage (default 30)")
    arguments = parser.parse_args()
    try:
        faces = insideout_tf.read_faces(arguments.data, input_size=48, channels=1)
        print(f"{len(faces)} faces, classes: {', '.join(faces.classes)}")
        run = insideout_tf.train_model(
            "finetune", arguments.data, run_dir=arguments.run_dir, epochs=arguments.epochs
        )
        print(f"accuracy on the faces that chose the epoch: {run.metrics['accuracy']:.1%}")
        if (faces.usage == TEST).any():
            print(f"accuracy on the test faces: {run.evaluate('private')['accuracy']:.1%}")
            compare(run, arguments.data)
    except (UserError, OSError) as error:
        sys.exit(f"finetune.py: {error}")


def compare(run, data):
    """Prints what the run gains over its start, on the test faces of the classes that both have."""
    names = [START, str(run.path)]
    try:
        (result,) = insideout_tf.compare_models(names, data, split="test")
    except UserError as error:  # such as: all classes are new
        print(f"not compared with {START}: {error}")
        return
    gain, low, high = result["models"][names[1]]["gain"]["accuracy"]
    classes = ", ".join(result["classes"])
    print(f"gain over {START}: {gain:+.1%} [{low:+.1%}, {high:+.1%}] on {classes}")


if __name__ == "__main__":
    main()
