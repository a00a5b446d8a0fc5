"""Recognises many pictures in several processes: decoding, detection and recognition, order kept.

Processes, not threads: a process that a damaged picture ends does not end the call. New ones do again what
was not finished. benchmarks/bulk.py measures both.
"""

import collections
import concurrent.futures
import concurrent.futures.process
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import typing

from insideout_tf import processes
from insideout_tf.errors import UserError
from insideout_tf.photos import pictures, records
from insideout_tf.serving import engines, recognize

CHUNK = (
    pictures.FRAMES_PER_CALL
)  # pictures of a task: whatever the workers, the model's calls are the same
WAITING = 3  # tasks for each worker that are under way or done and not yet taken

_recognize_chunk: typing.Any = None  # a function of a chunk of paths, in a worker


class Job(typing.NamedTuple):
    """What a worker does with each picture; it travels to other processes.

    Attributes:
        detect_faces: a `detect.FaceDetector` or a `boxes.GivenBoxes`.
        model, engine, calibrated, tta: of `recognize.load_recognizer`.
        has_model: True if workers recognise. False if they return faces, which one process recognises:
            Keras takes much memory, and all processors by itself.
    """

    detect_faces: typing.Any
    model: typing.Any
    engine: str
    calibrated: bool
    tta: str
    has_model: bool

    def load(self):
        """Returns the `recognize.Recognizer` of the job."""
        return recognize.load_recognizer(self.model, self.engine, self.calibrated, tta=self.tta)


class Results(typing.NamedTuple):
    """The results of a chunk of pictures.

    Attributes:
        rows: the records of all pictures, as of `records.to_records`.
        errors: a list of (path, message) of those that cannot be read.
        crops, faceless: numbers of the pictures that are one face, and of those without a face.
        unrecognized: in place of the rows, the `pictures.FrameResult`s without probabilities.
    """

    rows: list
    errors: list
    crops: int = 0
    faceless: int = 0
    unrecognized: list | None = None


def has_model_in_workers(model, engine):
    """Returns True if each worker loads the model: LiteRT, which takes little memory and one processor."""
    return not callable(model) and engines.choose_engine(model, engine) == "litert"


def recognize_chunk(paths, job, recognize_faces):
    """Returns the `Results` of a chunk of pictures, in this process.

    recognize_faces: a `recognize.Recognizer`, or None: without probabilities.
    """
    errors: list = []
    found = pictures.detect_in_pictures(
        paths, job.detect_faces, lambda path, error: errors.append((path, _describe(path, error)))
    )
    results = Results([], errors, unrecognized=list(found))
    return results if recognize_faces is None else add_probabilities(results, recognize_faces)


def add_probabilities(results, recognize_faces):
    """Returns `Results` with rows, of those without probabilities."""
    done = list(pictures.recognize_results(results.unrecognized, recognize_faces))
    return Results(
        [record for result in done for record in records.to_records(result)],
        results.errors,
        sum(result.is_crop for result in done),
        sum(not result.faces for result in done),
    )


def _describe(path, error):
    """Returns the reason why a picture cannot be read; error: a `UserError` or an `OSError`."""
    return str(error) if isinstance(error, UserError) else f"{path}: {error.strerror or error}"


def run(job, paths, workers, recognize_faces):
    """Yields (chunk of paths, `Results`) of pictures, in their order.

    Args:
        job: a `Job`.
        paths: a list of paths.
        workers: the number of processes; 1 works in this one.
        recognize_faces: the `recognize.Recognizer` of the job, for what this process does.
    """
    chunks = (list(chunk) for chunk in split_into_chunks(paths))
    if workers == 1:
        for chunk in chunks:
            yield chunk, recognize_chunk(chunk, job, recognize_faces)
        return
    with Workers(job, workers) as pool:
        for chunk, results in pool.map(chunks):
            if results.unrecognized is not None:
                results = add_probabilities(results, recognize_faces)
            yield chunk, results


def split_into_chunks(paths, size=CHUNK):
    """Yields tuples of at most `size` successive paths."""
    paths = iter(paths)
    while chunk := tuple(itertools.islice(paths, size)):
        yield chunk


class Workers:
    """Processes that recognise chunks of pictures; use it with `with`.

    A process that ends, by a picture that crashes a library, by a lack of memory or by a kill, is
    replaced. What it had not finished is done again, chunk by chunk and then picture by picture, and a
    picture that ends its process is one that cannot be read.
    """

    def __init__(self, job, count):
        self._job, self._count = job, count
        self._pool: typing.Any = None
        self._suspects = 0  # pending chunks, one of which may have ended a process

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *_):
        self._stop()

    def _start(self):
        """Starts the processes, and raises `UserError` if they cannot work at all."""
        context = multiprocessing.get_context("spawn")  # frameworks do not survive a fork
        self._pool = concurrent.futures.ProcessPoolExecutor(
            self._count, context, _start_worker, (self._job,)
        )
        try:
            self._pool.submit(os.getpid).result()
        except concurrent.futures.process.BrokenProcessPool:
            raise UserError(
                "workers: expected processes that start. In a script, call under `if __name__ == "
                "'__main__':`; else there may be too little memory: use fewer workers. Received: a "
                "process that ended at its start"
            ) from None

    def _stop(self):
        """Ends the processes at once: what they still do is of no use."""
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in workers:
            process.terminate()

    def map(self, chunks):
        """Yields (chunk, `Results`) in the order of the chunks, with few of them in memory."""
        pending: collections.deque = collections.deque()
        chunks = iter(chunks)
        while True:
            room = 1 if self._suspects else WAITING * self._count
            for chunk in itertools.islice(chunks, max(0, room - len(pending))):
                pending.append([chunk, None])
            if not pending:
                return
            for entry in itertools.islice(pending, room):
                entry[1] = entry[1] or self._pool.submit(_work, entry[0])
            chunk, future = pending[0]
            try:
                results = future.result()
            except concurrent.futures.process.BrokenProcessPool:
                results = self._replace(pending)
                if results is None:
                    continue
            pending.popleft()
            self._suspects = max(0, self._suspects - 1)
            yield chunk, results

    def _replace(self, pending):
        """Starts new processes; returns the `Results` of the first chunk if it alone was under way.

        pending: lists of a chunk and its future; futures without a result become None.
        """
        was_alone = self._suspects > 0
        self._stop()
        self._start()
        if was_alone:
            return self._recognize_singly(pending[0][0])
        for entry in pending:
            if entry[1] is not None and not _has_result(entry[1]):
                entry[1] = None
        self._suspects = len(pending)
        return None

    def _recognize_singly(self, chunk):
        """Returns the `Results` of a chunk, each picture in a call of its own."""
        total = Results([], [], unrecognized=None if self._job.has_model else [])
        for path in chunk:
            try:
                one = self._pool.submit(_work, [path]).result()
            except concurrent.futures.process.BrokenProcessPool:
                self._stop()
                self._start()
                one = Results(
                    [],
                    [
                        (
                            path,
                            f"{path}: expected a picture that can be read. Remove it. "
                            "Received: one whose process ended",
                        )
                    ],
                    unrecognized=[],
                )
            total = Results(
                total.rows + one.rows,
                total.errors + one.errors,
                total.crops + one.crops,
                total.faceless + one.faceless,
                None if self._job.has_model else total.unrecognized + one.unrecognized,
            )
        return total


def _has_result(future):
    return future.done() and not future.cancelled() and future.exception() is None


def _start_worker(job):
    """Prepares a process: one thread, the model, and an end when its parent has ended."""
    global _recognize_chunk

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
    parent: typing.Any = multiprocessing.parent_process()

    def end_with_parent():
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    processes.limit_threads()
    recognize_faces = job.load() if job.has_model else None
    _recognize_chunk = lambda paths: recognize_chunk(paths, job, recognize_faces)  # noqa: E731


def _work(paths):
    return _recognize_chunk(paths)
