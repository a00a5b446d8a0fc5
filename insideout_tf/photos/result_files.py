"""Records of many pictures on disk: whole after a kill at any moment, and ready to go on.

While a call works, a folder NAME.work beside the table says how many pictures are done and how long the
files were then. What a killed call has written after that is removed before the next one goes on, so no
record is lost or doubled. The folder is removed at the end.
"""

import contextlib
import hashlib
import os
import pathlib
import time
import typing

from insideout_tf import files, locks, targets
from insideout_tf.errors import UserError
from insideout_tf.photos import parquet, records

TEXTS: dict[str, type[records.JsonLines]] = {".csv": records.Csv, ".jsonl": records.JsonLines}
SUFFIXES = (".parquet", *TEXTS)
STATE = "state.json"
WORK = files.FolderKind(
    "predictions", "the folder of an unfinished table", (STATE, parquet.PART.format("*"))
)
COMMIT_SECONDS = 1.0  # of text files, between two notes of how much is done


class UnreadableTable(records.JsonLines):
    """The table of the pictures that cannot be read: their path and the reason."""

    first = empty = targets.format_row(("source", "error")).encode()

    def encode(self, record):
        source = targets.escape_cell(record["source"])
        return targets.format_row((source, record["error"])).encode("utf-8")

    @staticmethod
    def is_ours(path):
        return targets.has_begin(path, UnreadableTable.first)


class State(typing.NamedTuple):
    """What the work folder holds of an unfinished call.

    Attributes:
        settings: of the call, a dict that JSON can hold. A call goes on with the same ones only.
        done, faces, unreadable: numbers of pictures that are done, their faces, and those that could
            not be read.
        digest: SHA-256 of the paths that are done, in their order.
        table, errors: bytes of the two files then; 0 for parquet.
    """

    settings: dict
    done: int = 0
    faces: int = 0
    unreadable: int = 0
    digest: str = hashlib.sha256().hexdigest()
    table: int = 0
    errors: int = 0


class ResultFiles:
    """The table of the records and that of the unreadable pictures. See `open_results`.

    Attributes:
        state: the `State` as of the last `append`.
    """

    def __init__(self, out, classes, state, paths):
        self._work, self.state = work_folder(out), state
        self._digest = _add_to_digest(hashlib.sha256(), paths[: state.done])
        suffix = pathlib.Path(out).suffix.lower()
        self._is_parquet = suffix == ".parquet"
        if self._is_parquet:
            self._table = parquet.Parts(self._work, classes, state.done)
        else:
            self._table = _open_text(out, TEXTS[suffix](classes), state.table)
        self._unreadable, self._classes, self._out = errors_path(out), classes, out
        self._errors = None
        if state.errors or os.path.lexists(self._unreadable):
            self._errors = _open_text(self._unreadable, UnreadableTable(()), state.errors)
        self._seconds = parquet.COMMIT_SECONDS if self._is_parquet else COMMIT_SECONDS
        self._next_commit = time.monotonic() + self._seconds

    def append(self, paths, rows, errors):
        """Adds the next pictures.

        Args:
            paths: of the pictures, in their order.
            rows: the records of all of them, as of `records.to_records`.
            errors: a list of (path, message) of those that cannot be read.
        """
        for row in rows:
            self._table.write(row)
        for path, message in errors:
            if self._errors is None:
                self._errors = _open_text(self._unreadable, UnreadableTable(()), 0)
            self._errors.write({"source": path, "error": message})
        _add_to_digest(self._digest, paths)
        self.state = self.state._replace(
            done=self.state.done + len(paths),
            faces=self.state.faces + sum(row["emotion"] is not None for row in rows),
            unreadable=self.state.unreadable + len(errors),
        )
        is_full = self._is_parquet and self._table.is_full()
        if is_full or time.monotonic() >= self._next_commit:
            self.commit()

    def commit(self):
        """Waits until all is on disk, and notes it: a later call goes on from here."""
        self._table.sync()
        if self._errors is not None:
            self._errors.sync()
        self.state = self.state._replace(
            digest=self._digest.hexdigest(),
            table=self._table.position,
            errors=0 if self._errors is None else self._errors.position,
        )
        write_state(self._work, self.state)
        if self._is_parquet:
            self._table.begin(self.state.done)
        self._next_commit = time.monotonic() + self._seconds

    def finish(self):
        """Completes the table and removes the work folder's files."""
        self.commit()
        if self._is_parquet:
            parquet.join(self._work, self._out, self._classes)
        files.clear(self._work, WORK)

    def close(self):
        """Notes what is done, and closes the files."""
        with contextlib.suppress(OSError):  # such as a full disk, which has been reported
            if (self._work / STATE).exists():
                self.commit()
        for file in (self._table, self._errors):
            if file is not None:
                file.close()


def _open_text(path, kind, position):
    return records.RecordFile(path, kind, position if os.path.lexists(path) else None)


def work_folder(out):
    """Returns the path of the folder in which a call keeps what it needs to go on."""
    return pathlib.Path(f"{out}.work")


def errors_path(out):
    """Returns the path of the table of unreadable pictures beside the table `out`."""
    return f"{out}.unreadable.csv"


def write_state(work, state):
    files.write_json(work / STATE, state._asdict())


def read_state(out):
    """Returns the `State` of an unfinished call, or None."""
    path = work_folder(out) / STATE
    if not path.exists():
        return None
    counts = {name: int for name in ("done", "faces", "unreadable", "table", "errors")}
    value = files.read_object(path, settings=dict, digest=str, **counts)
    return State(**{name: value[name] for name in State._fields})


def check_out(out, paths, resume=False, overwrite=False):
    """Raises `UserError` unless the table may be written: call it before the work begins."""
    suffix = pathlib.Path(out).suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f"--out: expected a name that ends in {', '.join(SUFFIXES)}. Rename it. Received: {out}"
        )
    if suffix == ".parquet":
        parquet.check_installed()
    is_ours = parquet.is_ours if suffix == ".parquet" else TEXTS[suffix].is_ours
    listed = [
        targets.Target("--out", str(out), is_ours),
        targets.Target("--out", errors_path(out), UnreadableTable.is_ours),
    ]
    work = work_folder(out)
    if os.path.lexists(work):
        targets.check_folder_name("--out", work)
        if not resume and not overwrite and read_state(out) is not None:
            raise UserError(
                f"--out: expected a new table. Add --resume to go on, or --overwrite to begin again. "
                f"Received: {out}, which is unfinished"
            )
        for foreign in files.list_files(work, WORK, foreign=True):
            raise UserError(
                f"{work}: expected nothing but {WORK.title}. Move it away. Received: {foreign}"
            )
    there = [each for each in listed if os.path.lexists(each.path)]
    targets.check_targets(listed, paths if there else (), overwrite or resume)


@contextlib.contextmanager
def open_results(out, classes, settings, paths, resume=False, overwrite=False):
    """Yields the `ResultFiles` of a call, for this process alone. `check_out` has allowed it.

    Args:
        out: the path of the table.
        classes: the names of the model's classes.
        settings, paths: what the call predicts, and how. A call that goes on needs the same ones; more
            pictures may follow those that are done.
        resume: go on with an unfinished table; begin one if there is none.
        overwrite: remove an earlier table.

    Raises:
        UserError: another process writes the table, or the unfinished one has other settings or
            pictures.
        OSError: a file cannot be written.
    """
    work = work_folder(out)
    with locks.locked(work, "a table", "--out"):
        state = read_state(out) if resume else None
        if state is None:
            if overwrite:
                for path in (out, errors_path(out)):
                    pathlib.Path(path).unlink(missing_ok=True)
            state = State(settings)
            write_state(work, state)
        else:
            _check_state(out, state, settings, paths)
        with contextlib.closing(ResultFiles(out, classes, state, paths)) as results:
            yield results


def is_finished(out):
    """Returns True if a table is there and no call on it is unfinished."""
    return os.path.exists(out) and read_state(out) is None


def _check_state(out, state, settings, paths):
    """Raises `UserError` if an unfinished table is not of this call, or its files have lost something."""
    advice = "Give the options of the unfinished call, or --overwrite to begin again"
    for name in {**state.settings, **settings}:
        before, now = state.settings.get(name), settings.get(name)
        if before != now:
            raise UserError(
                f"{out}: expected {name} {before!r:.80}. {advice}. Received: {now!r:.80}"
            )
    if _add_to_digest(hashlib.sha256(), paths[: state.done]).hexdigest() != state.digest:
        raise UserError(
            f"{out}: expected the same first {state.done:,} pictures in the same order. {advice}. "
            "Received: others"
        )
    is_text = pathlib.Path(out).suffix.lower() in TEXTS
    for path, size in ((out if is_text else "", state.table), (errors_path(out), state.errors)):
        length = os.path.getsize(path) if path and os.path.exists(path) else 0
        if path and length < size:
            raise UserError(
                f"{path}: expected at least {size:,} bytes, which an earlier call has written. Restore it, "
                f"or add --overwrite to begin again. Received: {length:,} bytes"
            )


def _add_to_digest(digest, paths):
    """Adds paths to a SHA-256, and returns it."""
    for path in paths:
        digest.update(os.fsencode(path) + b"\0")
    return digest
