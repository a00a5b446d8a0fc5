"""Time the two uses of LiteRT: faces in a call of the emotion models, and the face detector against OpenCV.

    python benchmarks/litert.py

The first table has milliseconds a face of 256 faces by the packaged files, the median of seven, with 1 to 256 faces in
a call and one thread; the last column has the threads of `processes.count_threads`, as the package uses them for more
faces than `engines.FACES_PER_CALL`. The second has milliseconds a square of BlazeFace, the median of 60, by LiteRT and
by OpenCV.
"""

import statistics
import time

import cv2
import numpy as np
from bulk import describe_processor

from insideout_tf import processes
from insideout_tf.photos import blazeface
from insideout_tf.serving import engines, packaged

FACES = 256
SIZES = (1, 4, 8, 16, 32, 256)


def time_calls(function, value, count):
    """Returns the median milliseconds of a call, after one that is not counted."""
    function(value)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        function(value)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def report_faces(faces, threads):
    """Prints the table of the packaged models."""
    chosen = engines.FACES_PER_CALL
    print(f"| model |{''.join(f' {size} |' for size in SIZES)} {chosen}, {threads} threads |")
    print("|---|" + "---|" * (len(SIZES) + 1))
    for name in packaged.names():
        predict, *_ = engines.load_predictor(name, "litert")
        row = []
        for size, limit in [*((size, 1) for size in SIZES), (chosen, threads)]:
            engines.FACES_PER_CALL, processes._has_one_thread = size, limit == 1
            row.append(time_calls(predict, faces, 7) / len(faces))
        print(f"| {name} |" + "".join(f" {each:.2f} |" for each in row), flush=True)
    engines.FACES_PER_CALL = chosen


def report_detector(square, counts):
    """Prints the table of BlazeFace."""
    content = blazeface.read_weights()
    print("\n| threads | LiteRT | OpenCV | furthest apart |\n|---|---|---|---|")
    for threads in counts:
        cv2.setNumThreads(threads)
        by_litert = blazeface._load_litert(content, threads)
        by_opencv = blazeface._load_opencv(cv2, content)
        apart = max(np.abs(a - b).max() for a, b in zip(by_litert(square), by_opencv(square)))
        times = [time_calls(run, square, 60) for run in (by_litert, by_opencv)]
        print(f"| {threads} | {times[0]:.1f} | {times[1]:.1f} | {apart:.0e} |", flush=True)


def main():
    random, threads = np.random.default_rng(0), processes.count_threads()
    print(describe_processor())
    faces = random.integers(0, 256, (FACES, 48, 48, 1)).astype(np.float32)
    report_faces(faces, threads)
    side = blazeface.INPUT_SIDE
    report_detector(random.integers(0, 256, (side, side, 3)).astype(np.uint8), sorted({1, threads}))


if __name__ == "__main__":
    main()
