"""Time the reading of the 301 MB fer2013.csv: this package against pandas and np.fromstring.

    python benchmarks/reading.py PATH/TO/fer2013.csv

Each reader runs in a process of its own, `--rounds` times, on the file in the page cache. The table shows the
median seconds (wall clock, and CPU of all threads) and the peak memory of the process. Imports are not timed.
All readers must return the same pixels.
"""

import argparse
import json
import statistics
import subprocess
import sys

BASELINE = "pandas.read_csv, np.fromstring(row, sep=' ')"
READERS = {
    BASELINE: """
import numpy as np, pandas as pd
def read(path):
    rows = pd.read_csv(path)["pixels"]
    return np.stack([np.fromstring(row, sep=" ") for row in rows])
""",
    "the same, dtype=np.uint8": """
import numpy as np, pandas as pd
def read(path):
    rows = pd.read_csv(path)["pixels"]
    return np.stack([np.fromstring(row, sep=" ", dtype=np.uint8) for row in rows])
""",
    "pandas.read_csv, one np.fromstring, one range check": """
import numpy as np, pandas as pd
def read(path):
    parts = []
    for table in pd.read_csv(path, dtype=str, chunksize=128):
        values = np.fromstring(" ".join(table["pixels"]), np.int64, sep=" ")
        assert len(values) == 2304 * len(table) and values.min() >= 0 and values.max() <= 255
        parts.append(values.astype(np.uint8).reshape(-1, 2304))
    return np.concatenate(parts)
""",
    "insideout_tf.read_faces": """
import insideout_tf.data.read
def read(path):
    return insideout_tf.data.read.read_faces(path).pixels
""",
}
TIMING = """
import hashlib, json, resource, sys, time, warnings
warnings.simplefilter("ignore")
wall, cpu = time.perf_counter(), time.process_time()
pixels = read(sys.argv[1])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
content = hashlib.sha256(pixels.reshape(len(pixels), -1).astype("uint8").tobytes()).hexdigest()
print(json.dumps([wall, cpu, peak, content]))
"""


def measure(code, path):
    """Returns wall seconds, CPU seconds, peak MiB and the SHA-256 of the pixels of one reading."""
    done = subprocess.run(
        [sys.executable, "-c", code + TIMING, path], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="fer2013.csv")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    results: dict[str, list] = {name: [] for name in READERS}
    for _ in range(arguments.rounds):
        for name, code in READERS.items():
            results[name].append(measure(code, arguments.path))
    contents = {content for rounds in results.values() for *_, content in rounds}
    assert len(contents) == 1, "the readers return different pixels"
    medians = {
        name: [statistics.median(column) for column in list(zip(*rounds))[:3]]
        for name, rounds in results.items()
    }
    print("| reader | seconds | CPU seconds | of the first | peak memory |\n|---|---|---|---|---|")
    for name, (wall, cpu, peak) in medians.items():
        ratio = medians[BASELINE][0] / wall
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | 1/{ratio:.1f} | {peak:,.0f} MiB |")


if __name__ == "__main__":
    main()
