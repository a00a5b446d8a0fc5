"""Predicts the emotions of faces in pictures and video: `insideout predict PHOTO ...`."""

import argparse
import collections
import contextlib
import itertools
import pathlib
import sys

from insideout_tf import bulk, errors, files, progress, targets
from insideout_tf.data import images
from insideout_tf.errors import UserError
from insideout_tf.photos import (
    draw,
    following,
    listing,
    options,
    pictures,
    records,
    streams,
    video,
    window,
)
from insideout_tf.serving import engines, packaged, recognize

# Pictures without a face of which a line is printed at the end: this share of at least so many.
MANY_FACELESS, MIN_PICTURES = 0.2, 10


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout predict",
        description="Predict the emotions of faces: in photos, cropped images, folders, videos or a "
        "camera. Prints one line a face, and a summary of each video.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        type=streams.hide_password,
        metavar="PHOTO|FOLDER|VIDEO|webcam:0|rtsp://...",
        help="image files, folders of them (with their subfolders), video files, or a camera",
    )
    add_model_options(parser)
    options.add_face_options(parser)
    options.add_video_options(parser)
    add_output_options(parser)
    bulk.add_bulk_options(parser)
    return parser.parse_args(argv)


def add_model_options(parser):
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
        help="litert loads no framework and answers within two seconds (default: litert if the model "
        "has a .tflite file and ai-edge-litert is installed, else keras)",
    )
    parser.add_argument(
        "--uncalibrated",
        action="store_true",
        help="print the probabilities of the network, without the temperature fitted on PublicTest",
    )
    parser.add_argument(
        "--tta",
        choices=recognize.TTA,
        default="none",
        help="flip: average each face with its mirror image, in twice the time (default: none)",
    )


def add_output_options(parser):
    parser.add_argument("--json", metavar="OUT", help="write a JSON list; - is standard output")
    parser.add_argument("--jsonl", metavar="OUT", help="write JSON lines; - is standard output")
    parser.add_argument("--csv", metavar="OUT", help="write CSV; - is standard output")
    parser.add_argument(
        "--annotate",
        type=pathlib.Path,
        metavar="DIR",
        help="write NAME-annotated.png or .webm: copies with boxes and bars; for a video, which loses its sound, also a timeline",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier predict has written there"
    )


def main(argv=None):
    with errors.reported("insideout predict"):
        arguments = parse(argv)
        progress.announce("loading the model ...")
        bulk.check_bulk_options(arguments)
        if arguments.out:
            return bulk.predict(arguments)
        sources, unread, unreadable = listing.expand_folders(arguments.sources)
        for path, error in unreadable:
            errors.show(format_error(path, error), sys.stderr)
        check_arguments(arguments, sources)
        annotations = None
        if arguments.annotate:
            annotations = draw.AnnotationFolder(arguments.annotate, sources, arguments.overwrite)
        check_outputs(arguments, sources, annotations)
        recognize_faces = recognize.load_recognizer(
            arguments.model,
            arguments.engine,
            calibrated=not arguments.uncalibrated,
            tta=arguments.tta,
        )
        if note := options.describe_fallback(arguments):
            errors.show(f"insideout predict: {note}", sys.stderr)
        error_count = predict(sources, recognize_faces, arguments, annotations) + len(unreadable)
        if unread:
            errors.show(f"insideout predict: {listing.describe_unread(unread)}", sys.stderr)
        if error_count:
            raise UserError(
                f"expected {len(sources)} readable pictures or videos. Those named above have no "
                f"results, or results for a part. Received: {error_count} that are not readable"
            )


def check_arguments(arguments, sources):
    """Raises `UserError` for options that are wrong, and for no source."""
    if [getattr(arguments, kind) for kind in records.KINDS].count("-") > 1:
        raise UserError(
            "--json, --jsonl and --csv: expected one of them on standard output. Give the others a file name. Received: several"
        )
    pictures.check_times(arguments.smooth, arguments.seconds, "--smooth", "--seconds")
    following.check_every(arguments.every, "--every")
    if arguments.show:
        window.check_windows()
    if not sources:
        raise UserError(
            f"{', '.join(arguments.sources)}: expected pictures ({', '.join(images.SUFFIXES)}) or "
            f"videos ({', '.join(video.SUFFIXES)}) in the folder. Name another folder or a file. Received: none"
        )
    options.check_face_options(arguments, sources)


def check_outputs(arguments, sources, annotations):
    """Raises `UserError` if an output is an input, is there already or is written twice."""
    listed = records.list_targets(list_paths(arguments))
    if annotations:
        targets.check_folder_name("--annotate", arguments.annotate)
        listed += annotations.list_targets()
    inputs = [*sources, arguments.model, arguments.yunet, arguments.boxes]
    targets.check_targets(listed, list(filter(None, inputs)), arguments.overwrite)


def list_paths(arguments):
    """Returns the path or "-" or None of each kind of records, a dict."""
    return {kind: getattr(arguments, kind) for kind in records.KINDS}


class Outputs:
    """Where results go: the files of the options, the terminal, and the annotated copies.

    Attributes:
        error_count: the number of sources with an error.
        done_count: the number of sources that are finished, with or without an error.
        picture_count, faceless_count: pictures in which faces were searched, and those without one.
    """

    def __init__(self, write_record, annotations, is_silent):
        self.write_record, self.annotations, self._is_silent = write_record, annotations, is_silent
        self.error_count = self.done_count = self.picture_count = self.faceless_count = 0

    def print_line(self, text, bar):
        """Prints to standard output, unless records go there."""
        if not self._is_silent:
            bar.print(text)

    def report_error(self, source, error, bar):
        """Prints the error of one source to standard error, and counts it."""
        self.error_count += 1
        bar.print(format_error(source, error), file=sys.stderr)


def format_error(source, error):
    """Returns the line of a source that failed; error: a `UserError` or an `OSError`."""
    if not isinstance(error, UserError):
        error = f"{errors.printable(source)}: {error.strerror or error}. Check the path"
    return f"insideout predict: {error}"


def predict(sources, recognize_faces, arguments, annotations=None):
    """Writes the results to the terminal and the outputs; returns the number of sources with an error.

    An interruption keeps the records and copies of everything that is finished, and says how much.

    Args:
        sources: a list of paths and cameras.
        recognize_faces: a function of `recognize.load_recognizer`.
        arguments: the options of `parse`.
        annotations: a `draw.AnnotationFolder` or None.
    """
    contract = pictures.contract_of(recognize_faces)
    detect_faces = options.create_detector(arguments, sources, contract)
    paths = list_paths(arguments)
    with records.open_outputs(paths, arguments.overwrite, contract.classes) as write_record:
        outputs = Outputs(write_record, annotations, is_silent="-" in paths.values())
        try:
            for is_video, group in itertools.groupby(sources, video.is_video):
                if is_video:
                    for source in group:
                        predict_video(source, detect_faces, recognize_faces, outputs, arguments)
                        outputs.done_count += 1
                else:
                    predict_pictures(list(group), detect_faces, recognize_faces, outputs)
        except KeyboardInterrupt as interruption:
            written = [path for path in paths.values() if path and path != "-"]
            kept = f"; {', '.join(map(str, written))} has the results until then" if written else ""
            raise type(interruption)(
                f"after {outputs.done_count:,} of {len(sources):,} sources{kept}"
            ) from None
    if outputs.faceless_count >= MANY_FACELESS * max(outputs.picture_count, MIN_PICTURES):
        errors.show(
            f"insideout predict: {outputs.faceless_count:,} of {outputs.picture_count:,} pictures "
            "without a face. If these are cropped faces, use --faces crop",
            sys.stderr,
        )
    return outputs.error_count


def predict_pictures(paths, detect_faces, recognize_faces, outputs):
    """Writes the records, the lines and the annotated copies of image files."""
    with progress.Bar("predict", len(paths), "pictures") as bar:

        def report_error(path, error):
            outputs.report_error(path, error, bar)
            outputs.done_count += 1
            bar.advance()

        for result in pictures.recognize_pictures(
            paths, detect_faces, recognize_faces, report_error, outputs.annotations is not None
        ):
            for record in records.to_records(result):
                outputs.write_record(record)
                outputs.print_line(records.format_line(record), bar)
            outputs.picture_count += not result.is_crop
            outputs.faceless_count += not result.faces
            if outputs.annotations:
                with report_failed_copy(result.source, outputs, bar):
                    outputs.annotations.write_picture(result)
            outputs.done_count += 1
            bar.advance()


@contextlib.contextmanager
def report_failed_copy(source, outputs, bar):
    """Reports that one annotated copy cannot be written, and goes on; a full disk ends the call."""
    try:
        yield
    except (UserError, OSError) as error:
        if files.is_disk_full(error):
            raise
        outputs.report_error(f"{source}, annotated copy", error, bar)


def predict_video(source, detect_faces, recognize_faces, outputs, arguments):
    """Writes the records, the summary and the annotated copy of one video or camera.

    Ctrl-C ends a camera as usual. It ends a file too, and then the whole call.
    """
    interruption = None
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(progress.Bar(pathlib.Path(source).name, 0, "frames"))
        try:
            clip = stack.enter_context(video.open_video(source))
        except (UserError, OSError) as error:
            outputs.report_error(source, error, bar)
            return
        bar.total = count_frames(clip, arguments.seconds)
        annotation = stack.enter_context(Annotation(source, clip, outputs, bar))
        title = f"{errors.printable(source)}: q ends it"
        shown = stack.enter_context(window.Window(title)) if arguments.show else None
        results = pictures.recognize_video(
            *(source, clip, detect_faces, recognize_faces),
            *(arguments.smooth, arguments.seconds, arguments.every),
        )
        durations: collections.Counter = collections.Counter()
        frame_count, face_count, seconds, emotion = 0, 0, 0.0, ""
        try:
            for result in results:
                for record in records.to_records(result):
                    outputs.write_record(record)
                annotation.append(result)
                frame_count, seconds = frame_count + 1, result.seconds
                if result.faces:
                    emotion = result.classes[result.probabilities[0].argmax()]
                    face_count += 1
                    durations[emotion] += result.duration
                bar.advance(note=f"{seconds:.1f} s {emotion}")
                if shown is not None and not shown.show(result):
                    break
        except UserError as error:  # a file that was cut off has results up to there
            outputs.report_error(source, error, bar)
        except KeyboardInterrupt as error:
            if not video.is_camera(source) or isinstance(error, errors.Terminated):
                interruption = error
        annotation.complete()
        summary = summarize(frame_count, face_count, seconds, durations)
        outputs.print_line(f"{errors.printable(source)}: {summary}", bar)
    if interruption is not None:
        raise interruption


class Annotation:
    """The annotated copy of one video, if one is wanted; if it fails, the records go on.

    Use it with `with`: an error that ends the block leaves no part of a copy. A full disk is no
    failure of the copy alone.
    """

    def __init__(self, source, clip, outputs, bar):
        self._source, self._outputs, self._bar = source, outputs, bar
        self._stack = contextlib.ExitStack()
        self._append = None
        if outputs.annotations:
            with self._failure_reported():
                opened = outputs.annotations.open_video(source, clip)
                self._append = self._stack.enter_context(opened)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def append(self, result):
        """Draws a `pictures.FrameResult`."""
        if self._append is not None:
            with self._failure_reported():
                self._append(result)

    def complete(self):
        """Completes the copy and its timeline."""
        with self._failure_reported():
            self._stack.close()

    @contextlib.contextmanager
    def _failure_reported(self):
        kinds = (UserError, ValueError, OverflowError, OSError)
        try:
            yield
        except kinds as error:
            if files.is_disk_full(error):
                raise
            self._append = None
            with contextlib.suppress(*kinds):
                self._stack.__exit__(type(error), error, error.__traceback__)
            if not isinstance(error, UserError):
                error = UserError(
                    f"{self._source}: expected a video that can be drawn. Run without --annotate. "
                    f"Received: {error}"
                )
            self._outputs.report_error(self._source, error, self._bar)


def count_frames(clip, max_seconds):
    """Returns how many frames of a `video.Video` will probably be read; 0 if it is not known."""
    if max_seconds is None or not clip.frame_count:
        return clip.frame_count
    return min(clip.frame_count, round(max_seconds * clip.fps) + 1)


def summarize(frame_count, face_count, seconds, durations):
    """Returns a video as text.

    frame_count, face_count: frames, and those with a face. durations: a Counter of the seconds for
    which the largest face had each emotion.
    """
    total = durations.total() or 1.0  # a single frame may have no duration
    fractions = ", ".join(f"{name} {each / total:.0%}" for name, each in durations.most_common())
    emotions = f"of the time {fractions}" if durations else "no face found"
    return f"{frame_count:,} frames, {seconds:.1f} s, a face in {face_count:,} of them; {emotions}"


if __name__ == "__main__":
    main()
