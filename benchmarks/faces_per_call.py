"""Time 256 faces by the packaged LiteRT files, with 1 to 256 faces in a call of the interpreter.

    python benchmarks/faces_per_call.py

The table has milliseconds a face, the median of seven, with one thread; the last column has all processors, as the
package uses them for more faces than `engines.FACES_PER_CALL`.
"""

import statistics
import time

import numpy as np
from bulk import describe_processor

from insideout_tf import processes
from insideout_tf.serving import engines, packaged

FACES, ROUNDS = 256, 7
SIZES = (1, 4, 8, 16, 32, 256)


def time_calls(predict, faces):
    """Returns the median milliseconds a face."""
    predict(faces)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        predict(faces)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times) / len(faces)


def main():
    faces = np.random.default_rng(0).integers(0, 256, (FACES, 48, 48, 1)).astype(np.float32)
    chosen, count = engines.FACES_PER_CALL, processes.count_threads()
    print(describe_processor())
    print(f"| model |{''.join(f' {size} |' for size in SIZES)} {chosen}, {count} threads |")
    print("|---|" + "---|" * (len(SIZES) + 1))
    for name in packaged.names():
        predict, *_ = engines.load_predictor(name, "litert")
        processes.limit_threads()
        row = []
        for engines.FACES_PER_CALL in SIZES:
            row.append(time_calls(predict, faces))
        engines.FACES_PER_CALL = chosen
        processes._has_one_thread = False
        row.append(time_calls(predict, faces))
        print(f"| {name} |" + "".join(f" {each:.2f} |" for each in row), flush=True)


if __name__ == "__main__":
    main()
