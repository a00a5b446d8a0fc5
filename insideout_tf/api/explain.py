"""Grad-CAM explanations of the faces in pictures."""

import pathlib
import typing

import numpy as np

from insideout_tf import devices
from insideout_tf.data import forms, images
from insideout_tf.data.classes import label_of
from insideout_tf.errors import UserError
from insideout_tf.network.weights import load_model
from insideout_tf.photos import detect
from insideout_tf.serving import packaged, recognize

MAX_FACES = 6  # of one picture
MAX_COPIES = 1000


class Explanation(typing.NamedTuple):
    """Why a model gave a face its emotion.

    Attributes:
        source: the picture, a path or "".
        pixels: the face, uint8 of the `face_shape` of the model's contract.
        box: (left, top, width, height) in pixels of the picture, or None if the picture is the face.
        probabilities: float32 `[k]`, calibrated as `predict_emotions` gives them.
        labels: the class index that each map explains.
        maps: float32 `[len(labels), side, side]` in 0..1, the support of each position of the face.
        classes: the names of the k classes.
    """

    source: str
    pixels: np.ndarray
    box: tuple[int, int, int, int] | None
    probabilities: np.ndarray
    labels: tuple[int, ...]
    maps: np.ndarray
    classes: tuple[str, ...]

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return self.classes[self.probabilities.argmax()]


def explain_images(
    images_or_image, model="small", *, emotion=None, smooth=0, layer=None, faces="auto"
) -> list[Explanation]:
    """Returns an `Explanation` for each face of one or more pictures, the largest faces first.

    Args:
        images_or_image: a path, a PIL image or an array uint8 `[h, w]` or `[h, w, 3]`; or a list.
        model: a run folder, a .keras file or the name of a packaged model.
        emotion: the class to explain, by name; by default the two most probable ones of each face.
        smooth: number of copies with noise that a map is averaged over, 0 to 1000.
        layer: name of the layer to look at; by default the last one with spatial positions.
        faces: "crop", "detect" or "auto", as of `detect_emotions`.

    Raises:
        UserError: a picture without a face, an unknown class, model or layer.
    """
    if not isinstance(smooth, (int, np.integer)) or not 0 <= smooth <= MAX_COPIES:
        raise UserError(f"--smooth: expected 0 to {MAX_COPIES} copies. Received: {smooth!r}")
    detect.check_mode(faces, "--faces")
    path, _ = packaged.model_path(model)
    recognize_faces = recognize.load_recognizer(model)
    contract = recognize_faces.contract
    label = None if emotion is None else label_of(str(emotion), "--emotion", contract.classes)
    items = forms.to_items(images_or_image)
    sources = [images_or_image] if items is None else items
    detector = detect.FaceDetector(faces, contract=contract)
    found = []
    for source in sources:
        name = str(source) if isinstance(source, (str, pathlib.Path)) else ""
        detected = detector(images.to_picture(source))[:MAX_FACES]
        if not detected:
            raise UserError(
                f"{name or 'image'}: expected a face. Cut it out and give it with --faces crop. "
                "Received: a picture in which none is found"
            )
        found += [(name, face) for face in detected]
    return _explain(found, recognize_faces, path, label, smooth, layer)


def _explain(found, recognize_faces, path, label, smooth, layer):
    """Returns the explanations of (source, `detect.Face`) pairs."""
    pixels = np.stack([face.pixels for _, face in found])
    devices.prepare_backend()
    from insideout_tf.evaluation import grad_cam

    probabilities = recognize_faces(pixels)
    ranked = np.argsort(-probabilities, 1, kind="stable")
    labels = ranked[:, :2] if label is None else np.full((len(pixels), 1), label)
    loaded = load_model(path)
    maps = [grad_cam.heatmaps(loaded, pixels, column, layer, smooth)[0] for column in labels.T]
    return [
        Explanation(
            source,
            face.pixels,
            face.box,
            probabilities[row],
            tuple(int(each) for each in labels[row]),
            np.stack([each[row] for each in maps]),
            recognize_faces.contract.classes,
        )
        for row, (source, face) in enumerate(found)
    ]


def draw_explanations(explanations, title=""):
    """Returns a Matplotlib figure: a row for each face, with its maps beside it."""
    from insideout_tf.evaluation import plots

    columns = range(len(explanations[0].labels))
    shown = [
        (
            np.stack([each.maps[column] for each in explanations]),
            [each.labels[column] for each in explanations],
        )
        for column in columns
    ]
    pixels = np.stack([each.pixels for each in explanations])
    probabilities = np.stack([each.probabilities for each in explanations])
    return plots.heat(pixels, shown, probabilities, title, explanations[0].classes)
