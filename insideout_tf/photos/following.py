"""Reads frames ahead, detects faces in every n-th of them, in several threads, and follows them between."""

import collections
import concurrent.futures
import contextlib
import itertools
import queue
import threading

import numpy as np

from insideout_tf import processes
from insideout_tf.errors import UserError
from insideout_tf.photos import detectors, tracks

MAX_EVERY = 100
MAX_THREADS = 4  # each has a detector of its own; more frames would wait in memory
FRAMES_AHEAD = 16  # that are decoded and not yet taken, at most
BYTES_AHEAD = 64 << 20  # of these frames, at most


def check_every(every, name="every"):
    """Raises `UserError` for a wrong distance between two frames with detection; name: for the message."""
    is_whole = isinstance(every, int) and not isinstance(every, bool)
    if not is_whole or not 1 <= every <= MAX_EVERY:
        raise UserError(
            f"{name}: expected a whole number from 1 to {MAX_EVERY}. Received: {every!r}"
        )


@contextlib.contextmanager
def read_ahead(frames, frame_bytes):
    """Yields an iterator of the same frames, which a thread decodes before they are taken.

    The thread has ended when the block ends. frame_bytes: of one frame.
    """
    ready: queue.Queue = queue.Queue(max(1, min(FRAMES_AHEAD, BYTES_AHEAD // max(1, frame_bytes))))
    is_closed = threading.Event()

    def put(kind, value):
        while not is_closed.is_set():
            with contextlib.suppress(queue.Full):
                return ready.put((kind, value), timeout=0.1)

    def read():
        try:
            for frame in frames:
                put("frame", frame)
                if is_closed.is_set():
                    return
            put("end", None)
        except BaseException as error:  # it belongs to the reader of the frames
            put("error", error)

    def take():
        while True:
            kind, value = ready.get()
            if kind == "frame":
                yield value
                continue
            if kind == "error":
                raise value
            return

    thread = threading.Thread(target=read, name="insideout_tf frames", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        is_closed.set()
        thread.join()


def detect_in_frames(frames, detect_faces, every=1, waits=True):
    """Yields (frame, faces) of successive frames, in their order.

    Args:
        frames: an iterable of tuples whose second part is a PIL image.
        detect_faces: a `detect.FaceDetector`; with `every` 1 any function of an image to its faces.
        every: faces are detected in the first of so many frames. Between two detections, the box, the
            eyes and the score of a face move in a line from one to the next. A face in only one of them
            is in the nearer half of the frames.
        waits: True reads frames ahead, for several threads and for the next detection. False (cameras)
            answers at once: a face stays where it was last detected.
    """
    if not waits:
        yield from _detect_at_once(frames, detect_faces, every)
        return
    threads = max(1, min(processes.count_processors(), MAX_THREADS, 2 * FRAMES_AHEAD // every))
    with concurrent.futures.ThreadPoolExecutor(threads, "insideout_tf detector") as pool:
        finder = _Finder(detect_faces, every > 1, max(1, processes.count_threads() // threads))
        pending: collections.deque = collections.deque()
        frames = iter(frames)
        try:
            while True:
                for segment in _take(frames, every, threads + 1 - len(pending)):
                    pending.append((segment, pool.submit(finder, segment[0][1])))
                if not pending:
                    return
                segment, future = pending.popleft()
                if every == 1:
                    yield segment[0], future.result()
                    continue
                if pending:
                    end, after = every, pending[0][1]
                else:
                    end = max(1, len(segment) - 1)
                    after = pool.submit(finder, segment[-1][1])
                for index, frame in enumerate(segment):
                    found = interpolate(future.result(), after.result(), index / end)
                    yield frame, detect_faces.crop(frame[1], found)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _take(frames, every, count):
    """Yields at most `count` lists of `every` successive frames; the last one may be shorter."""
    for _ in range(count):
        segment = list(itertools.islice(frames, every))
        if not segment:
            return
        yield segment


class _Finder:
    """Calls a detector in several threads, each with a copy of its own.

    finds: whether detections are returned, or faces. threads: that each copy may use.
    """

    def __init__(self, detect_faces, finds, threads):
        self._detect_faces, self._finds, self._threads = detect_faces, finds, threads
        self._mine, self._copies = threading.local(), itertools.count()

    def __call__(self, image):
        if not hasattr(self._mine, "copy"):
            self._mine.copy = next(self._copies)
            if hasattr(self._detect_faces, "with_copy"):
                self._mine.detect = self._detect_faces.with_copy(self._mine.copy, self._threads)
            else:
                self._mine.detect = self._detect_faces
        return self._mine.detect.find(image) if self._finds else self._mine.detect(image)


def _detect_at_once(frames, detect_faces, every):
    found: list = []
    for index, frame in enumerate(frames):
        if every == 1:
            yield frame, detect_faces(frame[1])
            continue
        if index % every == 0:
            found = detect_faces.find(frame[1])
        yield frame, detect_faces.crop(frame[1], found)


def interpolate(before, after, place):
    """Returns the `detectors.Detection`s of a frame between two frames with detections.

    A detection that is None is the whole frame, which does not move.

    Args:
        before, after: their detections.
        place: of the frame between them, 0..1.
    """
    if place <= 0 or not before and place < 0.5:
        return before
    if place >= 1 or not after and place >= 0.5:
        return after
    if before == [None] or after == [None]:
        return before if place < 0.5 else after
    matched = tracks.match_boxes(
        [each.box for each in after], dict(enumerate(e.box for e in before))
    )
    found = [_between(before[number], after[index], place) for index, number in matched.items()]
    if place < 0.5:
        found += [each for number, each in enumerate(before) if number not in matched.values()]
    else:
        found += [each for index, each in enumerate(after) if index not in matched]
    return sorted(found, key=lambda each: -each.box[2] * each.box[3])


def _between(one, other, place):
    """Returns the detection between two detections of one face."""

    def mix(first, second):
        return (1 - place) * np.asarray(first, float) + place * np.asarray(second, float)

    box = tuple(round(value) for value in mix(one.box, other.box))
    eyes = None if one.eyes is None or other.eyes is None else mix(one.eyes, other.eyes)
    return detectors.Detection(box, float(mix(one.score, other.score)), eyes)
