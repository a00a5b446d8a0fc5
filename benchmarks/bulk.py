"""Time many pictures: one process against several, processes against threads, and other packages.

    python benchmarks/bulk.py FOLDER [--count 60] [--rounds 3] [--workers 2] [--faces crop]

Each side predicts the first `--count` pictures of the folder in a process of its own, start-up included. The
sides take turns, round by round, so that other work on the machine meets all of them alike. The table has the
medians of the time and of the processor time. `fer`, `deepface` and Ray run if they are installed; the first two
with the detector that each has by default, deepface on ONNX Runtime, as `pip install deepface` alone leaves it.
Where deepface cannot download its weights, `deepface_weights.py` makes a file of the same size.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import insideout_tf

ONE = """
import sys
from insideout_tf import predict
predict.main([*sys.argv[4:], "--faces", sys.argv[2], "--csv", "out.csv"])
"""
SEVERAL = """
import sys
import insideout_tf
if __name__ == "__main__":
    insideout_tf.predict_files(sys.argv[4:], "out.csv", mode=sys.argv[2], workers=int(sys.argv[1]))
"""
ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import insideout_tf
if __name__ == "__main__":
    insideout_tf.predict_files(sys.argv[4:], "out.csv", mode=sys.argv[2], workers=1)
"""
THREADS = """
import concurrent.futures, itertools, sys, threading
from insideout_tf import processes
from insideout_tf.api import bulk
from insideout_tf.data import images
from insideout_tf.photos import detect, records
from insideout_tf.serving import engines, recognize
processes.limit_threads()
mine, numbers = threading.local(), itertools.count()
def work(chunk):
    if not hasattr(mine, "job"):  # a detector and a model for each thread
        detector = detect.FaceDetector(sys.argv[2]).with_copy(next(numbers))
        predict, temperature, contract = engines.load_predictor("small", "litert")
        def recognize_faces(faces):
            inputs = images.to_model_input(faces, contract)
            return recognize.apply_temperature(predict(inputs), temperature) if len(faces) else inputs
        mine.recognize = recognize.Recognizer(recognize_faces, contract)
        mine.job = bulk.Job(detector, "small", "litert", True, "none", True)
    return bulk.recognize_chunk(chunk, mine.job, mine.recognize)
with concurrent.futures.ThreadPoolExecutor(int(sys.argv[1])) as pool:
    kind = records.Csv(recognize.load_recognizer("small").contract.classes)
    with open("out.csv", "wb") as file:
        for results in pool.map(work, bulk.split_into_chunks(sys.argv[4:])):
            file.writelines(map(kind.encode, results.rows))
"""
FER = """
import sys
import cv2
from fer.fer import FER
detector = FER()
for path in sys.argv[4:]:
    picture = cv2.imread(path)
    height, width = picture.shape[:2]
    boxes = [(0, 0, width, height)] if sys.argv[2] == "crop" else None
    detector.detect_emotions(picture, face_rectangles=boxes)
"""
RAY = """
import sys
import insideout_tf
if __name__ == "__main__":
    insideout_tf.predict_files(sys.argv[4:], "out.csv", mode=sys.argv[2], workers=int(sys.argv[1]), ray="local")
"""
DEEPFACE = """
import os, sys
os.environ.setdefault("DEEPFACE_BACKEND_ENGINE", "onnx")
from deepface import DeepFace
backend = "skip" if sys.argv[2] == "crop" else "opencv"
for path in sys.argv[4:]:
    DeepFace.analyze(path, actions=["emotion"], detector_backend=backend, enforce_detection=False)
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--faces", default="auto", choices=("auto", "crop", "detect"))
    parser.add_argument("--only", help="a part of the names of the sides")
    arguments = parser.parse_args()
    paths = sorted(map(str, arguments.folder.resolve().iterdir()))[: arguments.count]
    workers = arguments.workers
    sides = {
        "predict_files, 1 process on one processor": (ONE_CORE, 1),
        "insideout predict --csv, one process": (ONE, 1),
        "predict_files, 1 process": (SEVERAL, 1),
        f"predict_files, {workers} processes": (SEVERAL, workers),
        f"the same in {workers} threads": (THREADS, workers),
        f"the same on {workers} workers of Ray": (RAY, workers),
        "fer": (FER, 1),
        "deepface": (DEEPFACE, 1),
    }
    if arguments.only:
        sides = {name: side for name, side in sides.items() if arguments.only in name}
    print(f"{len(paths)} pictures; {describe_processor()}; load {os.getloadavg()[0]:.1f}")
    times: dict[str, list] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, (code, count) in list(sides.items()):
            result = measure(code, count, arguments.faces, paths)
            if isinstance(result, str):
                print(f"{name}: skipped, {result}")
                del sides[name], times[name]
            else:
                times[name].append(result)
    first = None
    print(
        "| side | pictures/s | of the first | seconds | processor seconds |\n|---|---|---|---|---|"
    )
    for name, results in times.items():
        wall, cpu = (statistics.median(each) for each in zip(*results))
        first = first or wall
        rate = len(paths) / wall
        print(f"| {name} | {rate:.1f} | {first / wall:.2f}× | {wall:.1f} | {cpu:.1f} |", flush=True)


def measure(code, count, faces, paths):
    """Returns (seconds, processor seconds) of a process, or the reason why it failed."""
    root = pathlib.Path(insideout_tf.__file__).parent.parent
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "side.py")
        script.write_text(code)
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, script, str(count), faces, "-", *paths],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=open(pathlib.Path(folder, "errors.txt"), "wb"),
            env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if process.returncode:
            text = pathlib.Path(folder, "errors.txt").read_text(errors="replace")
            return (text.strip().splitlines() or ["it failed"])[-1][:150]
    return seconds, usage.ru_utime + usage.ru_stime


def describe_processor():
    """Returns the vector instructions of the processor that decide the speed, as text."""
    text = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    flags = text.partition("flags")[2].partition("\n")[0].split()
    known = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
    return f"{os.cpu_count()} processors, {' '.join(flag for flag in known if flag in flags)}"


if __name__ == "__main__":
    main()
