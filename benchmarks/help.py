"""Time `python -m insideout_tf.VERB --help` for every verb.

    python benchmarks/help.py

The table shows medians of whole processes, and the time of importing TensorFlow alone.
"""

import argparse
import statistics
import subprocess
import sys
import time

from insideout_tf.__main__ import VERBS


def time_python(*words):
    """Returns the seconds of a Python process with these arguments."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    commands: dict[str, tuple[str, ...]] = {
        f"insideout_tf.{verb} --help": ("-m", f"insideout_tf.{verb}", "--help")
        for verbs in VERBS.values()
        for verb in verbs
    }
    commands["import tensorflow, alone"] = ("-c", "import tensorflow")
    print("| command | seconds |\n|---|---|")
    for name, words in commands.items():
        print(
            f"| {name} | {statistics.median(time_python(*words) for _ in range(arguments.rounds)):.2f} |"
        )


if __name__ == "__main__":
    main()
