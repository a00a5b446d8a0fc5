"""Reading the 301 MB fer2013.csv: this package against pandas and np.fromstring.

    python benchmarks/reading.py PATH/TO/fer2013.csv

Each side reads the file in a process of its own, from the page cache, `--rounds` times in turn;
the table holds medians and the peak memory of the process. Every side's pixels are compared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

FIRST = "pandas.read_csv, np.fromstring(row, sep=' ')"
SIDES = {
    FIRST: """
import numpy as np, pandas as pd
table = pd.read_csv(path)
pixels = np.stack([np.fromstring(row, sep=" ") for row in table["pixels"]])
""",
    "the same, dtype=np.uint8": """
import numpy as np, pandas as pd
table = pd.read_csv(path)
pixels = np.stack([np.fromstring(row, sep=" ", dtype=np.uint8) for row in table["pixels"]])
""",
    "insideout_tf, --no-cache": """
from insideout_tf.data.read import read_faces
pixels = read_faces(path).pixels
""",
    "insideout_tf, first read": """
from insideout_tf.data.read import read_faces
pixels = read_faces(path).pixels
""",
    "insideout_tf, second read": """
from insideout_tf.data.read import read_faces
pixels = read_faces(path).pixels
""",
}
MEASURED = """
import hashlib, json, resource, sys, time, warnings
import numpy, {imports}
warnings.simplefilter("ignore")
path = sys.argv[1]
started = time.perf_counter()
{code}
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rows = len(pixels)
content = hashlib.sha256(pixels.reshape(rows, -1).astype("uint8").tobytes()).hexdigest()
print(json.dumps([seconds, peak, content]))
"""


def measure(code, path, cache):
    imports = "pandas" if "pandas" in code else "insideout_tf.fer2013"
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format(code=code, imports=imports), path],
        env={**os.environ, "XDG_CACHE_HOME": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="fer2013.csv")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, list] = {name: [] for name in SIDES}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name, code in SIDES.items():
                found[name].append(measure(code, arguments.path, cache))
    contents = {content for rounds in found.values() for _, _, content in rounds}
    assert len(contents) == 1, "the sides read different pixels"
    baseline = statistics.median(seconds for seconds, _, _ in found[FIRST])
    print("| reader | seconds | of the first | peak memory |\n|---|---|---|---|")
    for name, rounds in found.items():
        seconds = statistics.median(seconds for seconds, _, _ in rounds)
        peak = max(peak for _, peak, _ in rounds)
        print(f"| {name} | {seconds:.2f} | 1/{baseline / seconds:.1f} | {peak:,.0f} MiB |")


if __name__ == "__main__":
    main()
