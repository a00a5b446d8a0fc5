"""Tells the emotions of faces in pictures and video: `insideout predict PHOTO ...`."""

import argparse
import collections
import contextlib
import itertools
import pathlib
import sys

from insideout_tf import errors
from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.photos import detect, draw, pictures, records, video
from insideout_tf.serving import engines, packaged, recognize


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout predict",
        description="Tell the emotions of faces: in photos, cropped images, folders, videos or a "
        "camera. One line a face; a summary for a video.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="PHOTO|FOLDER|VIDEO|webcam:0",
        help="image files, folders of them (searched through), video files, or a camera",
    )
    parser.add_argument(
        "--faces",
        choices=detect.MODES,
        default="auto",
        help="crop: each picture is one face; detect: look for faces; auto: a square picture of at "
        f"most {detect.CROP_SIDE} pixels is a face (default)",
    )
    parser.add_argument(
        "--model",
        default=packaged.DEFAULT,
        metavar="NAME_OR_PATH",
        help=f"a packaged model ({', '.join(packaged.names())}; default {packaged.DEFAULT}), a run "
        "directory, a .keras or a .tflite file",
    )
    parser.add_argument(
        "--engine",
        choices=engines.ENGINES,
        default="auto",
        help="litert answers within a second or two, since it loads no framework (default: litert "
        "where the model has a .tflite file and ai-edge-litert is installed)",
    )
    parser.add_argument(
        "--uncalibrated",
        action="store_true",
        help="probabilities as the network gives them, without the temperature fitted on PublicTest",
    )
    parser.add_argument(
        "--tta",
        choices=recognize.TTA,
        default="none",
        help="flip: average each face with its mirror image, in twice the time (default: none)",
    )
    parser.add_argument("--json", metavar="OUT", help="write a JSON list, - for standard output")
    parser.add_argument("--jsonl", metavar="OUT", help="write JSON lines, - for standard output")
    parser.add_argument("--csv", metavar="OUT", help="write CSV, - for standard output")
    parser.add_argument(
        "--annotate",
        type=pathlib.Path,
        metavar="DIR",
        help="draw boxes and bars into copies of the pictures; of a video also a timeline",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=detect.MARGIN,
        help="of a found face's side, added on every side before it is cut out (default "
        f"{detect.MARGIN:g}, measured by benchmarks/face_margin.py)",
    )
    parser.add_argument(
        "--yunet",
        metavar="FILE",
        help="find faces with this face_detection_yunet_*.onnx instead of OpenCV's Haar cascade",
    )
    parser.add_argument(
        "--smooth",
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="of a video: weight of earlier frames, falling to 1/e in so many seconds (default 0.5; "
        "0: none)",
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="stop a video or a camera after N seconds"
    )
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    with errors.reported("insideout predict"):
        sources = list(expand(arguments.sources))
        check(arguments, sources)
        recognise = recognize.load_recognizer(
            arguments.model,
            arguments.engine,
            calibrated=not arguments.uncalibrated,
            tta=arguments.tta,
        )
        unreadable = predict(sources, recognise, arguments)
        if unreadable:
            raise UserError(
                f"expected {len(sources)} readable pictures or videos; those named above were left "
                f"out, or judged in part. Received: {unreadable} that are not"
            )


def expand(sources):
    """Yields files and cameras; folders are searched for pictures and videos."""
    for source in sources:
        if source.startswith(video.WEBCAM) or not pathlib.Path(source).is_dir():
            yield source
            continue
        for path in sorted(pathlib.Path(source).rglob("*")):
            if path.suffix.lower() in (*images.SUFFIXES, *video.SUFFIXES) and path.is_file():
                yield str(path)


def check(arguments, sources):
    if [getattr(arguments, kind) for kind in records.KINDS].count("-") > 1:
        raise UserError(
            "--json, --jsonl and --csv: expected one of them on standard output. Received: several"
        )
    if not -0.4 <= arguments.margin <= 2:
        raise UserError(f"--margin: expected -0.4 to 2. Received: {arguments.margin:g}")
    if not arguments.smooth >= 0:
        raise UserError(f"--smooth: expected seconds, 0 or more. Received: {arguments.smooth:g}")
    if arguments.seconds is not None and not arguments.seconds > 0:
        raise UserError(f"--seconds: expected more than 0. Received: {arguments.seconds:g}")
    if not sources:
        raise UserError(
            f"{', '.join(arguments.sources)}: expected pictures ({', '.join(images.SUFFIXES)}) or "
            f"videos ({', '.join(video.SUFFIXES)}) in the folder. Received: none"
        )


def predict(sources, recognise, arguments):
    """Writes what is found to the terminal and the outputs; returns how many sources were not whole."""
    find = pictures.FaceDetector(arguments.faces, arguments.margin, arguments.yunet)
    annotated = draw.Folder(arguments.annotate) if arguments.annotate else None
    outs = {kind: getattr(arguments, kind) for kind in records.KINDS}
    say = (lambda text: None) if "-" in outs.values() else print
    unreadable: list = []

    def complain(source, error):
        unreadable.append(source)
        if not isinstance(error, UserError):
            error = f"{source}: {error.strerror or error}. Check the path"
        print(f"insideout predict: {error}", file=sys.stderr)

    with records.outputs(outs) as write:
        for is_video, group in itertools.groupby(sources, video.is_video):
            if is_video:
                for source in group:
                    summary = judge_video(
                        source, find, recognise, complain, write, annotated, arguments
                    )
                    if summary:
                        say(summary)
                continue
            for sighting in pictures.recognize_pictures(
                group, find, recognise, complain, keep=annotated is not None
            ):
                for record in records.of(sighting):
                    write(record)
                    say(records.line(record))
                if annotated:
                    annotated.picture(sighting)
    return len(unreadable)


def judge_video(source, find, recognise, complain, write, annotated, arguments):
    """Writes the records of one video; returns its summary, or None where it cannot be opened."""
    with contextlib.ExitStack() as stack:
        try:
            clip = stack.enter_context(video.opened(source))
        except (UserError, OSError) as error:
            complain(source, error)
            return None
        show = stack.enter_context(annotated.video(source, clip)) if annotated else None
        sightings = pictures.recognize_video(
            source, clip, find, recognise, arguments.smooth, arguments.seconds
        )
        progress = Progress(source, clip.declared)
        counts: collections.Counter = collections.Counter()
        frames, seconds, emotion = 0, 0.0, ""
        try:
            for sighting in sightings:
                frames, seconds = frames + 1, sighting.seconds
                if sighting.found:
                    emotion = EMOTIONS[sighting.probabilities[0].argmax()]
                    counts[emotion] += 1
                for record in records.of(sighting):
                    write(record)
                if show:
                    show(sighting)
                progress(frames, f"{seconds:.1f} s {emotion}")
        except UserError as error:  # cut off: what was there has been judged
            complain(source, error)
        except KeyboardInterrupt:
            if not source.startswith(video.WEBCAM):
                raise
        finally:
            progress.end()
        shares = ", ".join(
            f"{name} {count / counts.total():.0%}" for name, count in counts.most_common()
        )
        said = f"of the time {shares}" if counts else "no face found"
        return (
            f"{source}: {frames:,} frames, {seconds:.1f} s, a face in {counts.total():,} of them; "
            f"{said}"
        )


class Progress:
    """A bar on standard error where that is a terminal; nothing anywhere else."""

    WIDTH = 30

    def __init__(self, source, count):
        self._name, self._count = pathlib.Path(source).name, count
        self._shown = sys.stderr.isatty()

    def __call__(self, frames, state):
        if self._shown and frames % 8 == 0:
            done = round(self.WIDTH * min(1.0, frames / self._count)) if self._count else 0
            bar = "█" * done + "░" * (self.WIDTH - done) if self._count else ""
            print(f"\r{self._name} {bar} {frames:,} frames, {state}\033[K", end="", file=sys.stderr)

    def end(self):
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
