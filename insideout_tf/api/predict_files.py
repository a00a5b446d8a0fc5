"""Emotions of the faces in many picture files, written to a table while the work goes on."""

import multiprocessing
import os
import pathlib
import time
import typing

from insideout_tf import files, processes, progress
from insideout_tf.api import bulk, ray_files
from insideout_tf.errors import UserError
from insideout_tf.photos import boxes as given_boxes
from insideout_tf.photos import detect, lists, result_files
from insideout_tf.serving import packaged, recognize


class FilesSummary(typing.NamedTuple):
    """What `predict_files` has done.

    Attributes:
        out: the path of the table.
        pictures: the number of pictures, with those of an earlier call that was resumed.
        faces: the number of faces in them; 0 if the table was finished before the call.
        unreadable: the number of pictures that cannot be read; 0 if the table was finished before.
        unreadable_table: the path of the table of these; None if there are none.
        resumed: the number of pictures that an earlier call had done.
        crops, faceless: of this call, the numbers of pictures that are one face, and without a face.
        seconds: of this call.
    """

    out: str
    pictures: int
    faces: int
    unreadable: int
    unreadable_table: str | None
    resumed: int
    crops: int
    faceless: int
    seconds: float


def predict_files(
    sources: typing.Any,
    out: typing.Any,
    model: typing.Any = packaged.DEFAULT,
    mode: str = "auto",
    margin: float | None = None,
    yunet: str | None = None,
    boxes: str | None = None,
    engine: str = "auto",
    calibrated: bool = True,
    tta: str = "none",
    detector: str = "auto",
    min_face: float = 0,
    min_score: float | None = None,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    ray: str | None = None,
) -> FilesSummary:
    """Recognises the faces in many picture files, on all processors, and writes a table.

    The rows keep the order of the pictures. They are on disk while the work goes on: a call that was
    killed leaves whole rows, and `resume` goes on from there. Few pictures are in memory at a time. In a
    script, call it under `if __name__ == "__main__":`, since it starts processes.

    Args:
        sources: a picture, a folder with its subfolders, a list of pictures (a .txt with a path a line, or
            a .csv, .tsv or .parquet with a column `path` or `source`), or a list of these.
        out: the table: a name that ends in .parquet, .csv or .jsonl. Pictures that cannot be read are in
            OUT.unreadable.csv.
        model, engine, calibrated, tta: see `predict_emotions`.
        mode, margin, yunet, detector, min_face, min_score: see `detect_emotions`.
        boxes: a CSV or JSON file with the faces of a detector of your own, as `--boxes` takes it.
        workers: the number of processes; None takes one for each processor.
        resume: go on with a table that a killed call has left. Begins one if there is none; does nothing
            if it is finished.
        overwrite: replace a table of an earlier call.
        ray: the address of a Ray cluster that does the work, such as "auto" or "ray://HOST:10001"; "local"
            starts one on this machine. Its workers read the pictures by the same paths. Needs the package ray.

    Returns:
        A `FilesSummary`.

    Raises:
        UserError: an option, a list or the model is wrong; a file is in the way; or an unfinished table
            has other options or pictures.
        OSError: a file cannot be written.

    Examples:
        >>> predict_files("photos", "faces.parquet").faces
        1204
    """
    names = [sources] if isinstance(sources, (str, bytes, os.PathLike)) else list(sources)
    paths, _, _ = lists.expand([os.fsdecode(name) for name in names])
    request = Request(
        paths, os.fsdecode(out), model, engine, calibrated, tta, mode, margin, yunet, boxes,
        detector, min_face, min_score, workers,
    )  # fmt: skip
    run = ray_files.create_run(ray, workers) if ray else None
    return request.predict(resume, overwrite, run)


class Request(typing.NamedTuple):
    """What `predict_files` predicts and how; the fields are its arguments, with the paths of the pictures."""

    paths: list
    out: str
    model: typing.Any = packaged.DEFAULT
    engine: str = "auto"
    calibrated: bool = True
    tta: str = "none"
    mode: str = "auto"
    margin: float | None = None
    yunet: str | None = None
    boxes: str | None = None
    detector: str = "auto"
    min_face: float = 0
    min_score: float | None = None
    workers: int | None = None

    def check(self, resume=False, overwrite=False):
        """Raises `UserError` for what is wrong before the work begins."""
        _check_not_in_worker()
        detect.check_detection(self.mode, self.margin, self.min_face, self.min_score)
        if self.workers is not None and not (isinstance(self.workers, int) and self.workers >= 1):
            raise UserError(
                f"workers: expected a whole number, at least 1. Received: {self.workers!r}"
            )
        if not self.paths:
            raise UserError("sources: expected pictures. Check the folder. Received: none")
        if resume and overwrite:
            raise UserError("resume: expected no overwrite. Leave one out. Received: both")
        result_files.check_out(self.out, self.paths, resume, overwrite)

    def create_detector(self, contract):
        """Returns the `detect.FaceDetector` or `boxes.GivenBoxes`."""
        if self.boxes is not None:
            return given_boxes.GivenBoxes(self.boxes, self.paths, self.margin, contract)
        return detect.FaceDetector(
            *(self.mode, self.margin, self.yunet, contract),
            *(self.detector, self.min_face, self.min_score),
        )

    def describe(self):
        """Returns what decides the results, beside the pictures, as a dict that JSON can hold."""
        settings = self._asdict()
        for name in ("paths", "out", "workers"):
            del settings[name]
        for name in ("model", "yunet", "boxes"):
            settings[name] = _identify(settings[name])
        return settings

    def predict(self, resume=False, overwrite=False, run=None):
        """Does the work of `predict_files`.

        run: a function as `bulk.run`, which yields the results of chunks of pictures; None is that one.
        """
        self.check(resume, overwrite)
        start = time.monotonic()
        if resume and result_files.is_finished(self.out):
            return FilesSummary(self.out, len(self.paths), 0, 0, None, len(self.paths), 0, 0, 0.0)
        recognize_faces = recognize.load_recognizer(
            self.model, self.engine, self.calibrated, tta=self.tta
        )
        contract = recognize_faces.contract
        has_model = bulk.has_model_in_workers(self.model, self.engine)
        job = bulk.Job(
            self.create_detector(contract),
            # A Keras model does not travel to the workers, which do not need it.
            *(self.model if has_model else None, self.engine, self.calibrated, self.tta, has_model),
        )
        crops = faceless = 0
        with result_files.open_results(
            self.out, contract.classes, self.describe(), self.paths, resume, overwrite
        ) as results:
            resumed = results.state.done
            left = self.paths[resumed:]
            workers = min(
                self.workers or processes.count_processors(), max(1, -(-len(left) // bulk.CHUNK))
            )
            with progress.Bar("predict", len(left), "pictures") as bar:
                for chunk, chunk_results in (run or bulk.run)(job, left, workers, recognize_faces):
                    results.append(chunk, chunk_results.rows, chunk_results.errors)
                    crops, faceless = crops + chunk_results.crops, faceless + chunk_results.faceless
                    done = results.state.done - resumed
                    rate = done / (time.monotonic() - start)
                    bar.advance(len(chunk), note=f"{rate:,.1f} pictures/s")
            results.finish()
        state = results.state
        return FilesSummary(
            *(self.out, state.done, state.faces, state.unreadable),
            result_files.errors_path(self.out) if state.unreadable else None,
            *(resumed, crops, faceless, time.monotonic() - start),
        )


def _identify(value):
    """Returns a value as text; a file, and a run's model, with the SHA-256 of its content."""
    if value is None or callable(value):
        return None if value is None else type(value).__name__
    path = pathlib.Path(os.path.expanduser(os.fsdecode(value)))
    path = path / packaged.MODEL if path.is_dir() else path
    return f"{value} {files.sha256(path)}" if path.is_file() else str(value)


def _check_not_in_worker():
    """Raises `UserError` in a process that runs the caller's script again to start a worker."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "predict_files: expected a call under `if __name__ == '__main__':`. Move it there, since each "
            "process of the work reads the script. Received: a call while a process starts"
        )
