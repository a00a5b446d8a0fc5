"""The options of verbs that find faces in pictures, and the detector that they choose."""

from insideout_tf.data.contract import FER2013
from insideout_tf.errors import UserError
from insideout_tf.photos import boxes, detect, detectors, video


def add_face_options(parser):
    """Adds --faces, --detector, --yunet, --boxes, --min-face, --min-score and --margin."""
    parser.add_argument(
        "--faces",
        choices=detect.MODES,
        default="auto",
        help="crop: each picture is one face; detect: look for faces; auto: a square picture of at "
        f"most {detect.CROP_SIDE} pixels is one face (default)",
    )
    parser.add_argument(
        "--detector",
        choices=detectors.NAMES,
        default="auto",
        help="auto: blazeface if its package is installed, else haar, OpenCV's cascade (default)",
    )
    parser.add_argument(
        "--yunet", metavar="FILE", help="detect faces with this face_detection_yunet_*.onnx instead"
    )
    parser.add_argument(
        "--boxes",
        metavar="FILE",
        help="the faces of a detector of your own: CSV or JSON with image, x, y, width, height in "
        "pixels; no detector runs, and a picture without a row has no face",
    )
    parser.add_argument(
        "--min-face",
        type=float,
        default=0,
        metavar="PIXELS",
        help="discard faces whose box has a shorter side (default 0: none)",
    )
    scores = ", ".join(f"{name} {score:g}" for name, score in detectors.MIN_SCORES.items())
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="N",
        help=f"discard faces with a lower score, 0..1 (default by detector: {scores})",
    )
    margins = ", ".join(f"{name} {margin:g}" for name, margin in detectors.MARGINS.items())
    parser.add_argument(
        "--margin",
        type=float,
        help="widen the square around a face on every side, by so many times its side (default by "
        f"detector: {margins}; with --boxes 0)",
    )


def add_video_options(parser):
    """Adds --smooth, --every, --seconds and --show."""
    parser.add_argument(
        "--smooth",
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="average the frames of a video; the weight of earlier frames falls to 1/e in this time "
        "(default 0.5; 0: no average)",
    )
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="detect the faces in every n-th frame of a video and follow them between (default 1)",
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="stop a video or a camera after N seconds"
    )
    parser.add_argument(
        "--show",
        action="store_true",
        help="show videos and cameras in a window; q or Escape ends each (needs opencv-python)",
    )


def check_face_options(arguments, sources):
    """Raises `UserError` for options of `add_face_options` that are wrong or exclude each other."""
    if arguments.margin is not None:
        detect.check_margin(arguments.margin, "--margin")
    detect.check_limits(arguments.min_face, arguments.min_score, "--min-face", "--min-score")
    detectors.choose(arguments.detector, arguments.yunet)
    if arguments.boxes is None:
        return
    others = {
        "--faces": arguments.faces != "auto",
        "--detector": arguments.detector != "auto",
        "--yunet": arguments.yunet is not None,
        "--min-face": arguments.min_face > 0,
        "--min-score": arguments.min_score is not None,
    }
    for name, is_given in others.items():
        if is_given:
            raise UserError(f"--boxes: expected no detector. Leave out {name}. Received: both")
    videos = [source for source in sources if video.is_video(source)]
    if videos:
        raise UserError(
            f"--boxes: expected pictures only. Leave out the videos and cameras. Received: {videos[0]}"
        )


def create_detector(arguments, sources, contract=FER2013):
    """Returns the `detect.FaceDetector` or `boxes.GivenBoxes` of the options.

    Raises:
        UserError: as `boxes.read`.
    """
    if arguments.boxes is not None:
        return boxes.GivenBoxes(arguments.boxes, sources, arguments.margin, contract)
    return detect.FaceDetector(
        arguments.faces,
        arguments.margin,
        arguments.yunet,
        contract,
        arguments.detector,
        arguments.min_face,
        arguments.min_score,
    )


def describe_fallback(arguments):
    """Returns one line if a weaker detector runs, since a package is missing; else ""."""
    if arguments.boxes is not None or arguments.faces == "crop":
        return ""
    return detectors.describe_fallback(arguments.detector, arguments.yunet)
