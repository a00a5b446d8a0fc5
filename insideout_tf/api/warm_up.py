"""Makes what the first prediction needs, before the first request."""

import typing

from insideout_tf.photos import detectors
from insideout_tf.serving import packaged, recognize


def warm_up(
    model: typing.Any = packaged.DEFAULT,
    *,
    engine: str = "auto",
    detector: str | None = "auto",
    yunet: str | None = None,
    faces: int = 1,
) -> None:
    """Loads a model and a face detector and runs each once, so that the first request does not wait.

    Call it when a server starts, in each of its processes. Later calls of `predict_emotions`
    and `detect_emotions` with the same model and detector use what is loaded here, and `analyze_video` the
    model: its threads have detectors of their own. Without it the first call loads them; threads that call
    at the same time wait for one load.

    Args:
        model, engine: as of `predict_emotions`.
        detector: as of `detect_emotions`; None makes no detector.
        yunet: as of `detect_emotions`.
        faces: how many faces the model receives. Some runtimes prepare themselves for each number.

    Raises:
        UserError: the model, the engine or the detector is wrong, or a package is missing.

    Examples:
        >>> warm_up("small")
    """
    import numpy as np
    from PIL import Image

    recognizer = recognize.load_recognizer(model, engine)
    recognizer(np.zeros((faces, *recognizer.contract.face_shape), np.uint8))
    if detector is not None:
        detectors.load(detector, yunet)(Image.new("RGB", (64, 64)))
