"""Whole files or none: everything this package writes goes through here."""

import contextlib
import glob
import hashlib
import json
import os
import pathlib
import shutil
import time

from insideout_tf.errors import UserError

TEMPORARY = ".unfinished-"  # begins the name of a file that is being written


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`, moved over it only if the block succeeds."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}.{path.name}")  # Keras reads the suffix
    try:
        with _named(path, temporary):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(path, temporary):
    """Lets errors name the file that the user gave instead of its temporary one."""
    try:
        yield
    except OSError as error:
        if str(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise


def check_folder(path, overwrite):
    """Raises `UserError` unless a folder may be written to `path`: nothing, an empty one, or any."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: expected a folder to write to. Choose another. Received: a file")
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise UserError(
            f"{path}: expected nothing there yet. Choose another folder, or add --overwrite to "
            "replace it. Received: a folder with files"
        )


@contextlib.contextmanager
def replacing_folder(path):
    """Yields a temporary folder beside `path`, moved to it (and over it) only if the block succeeds.

    What earlier writers of `path` left beside it when they were killed is removed after a day.
    """
    path = pathlib.Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (
        path.with_name(f"{TEMPORARY}{os.getpid()}{kind}.{path.name}") for kind in ("", "-old")
    )
    for folder in path.parent.glob(f"{TEMPORARY}*[0-9].{glob.escape(path.name)}"):
        if is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
    try:
        with _named(path, temporary):
            temporary.mkdir()
            yield temporary
            if path.exists():
                path.rename(old)
            try:
                temporary.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def is_abandoned(path):
    """Says whether a temporary file or folder is a day old, so that its writer was killed."""
    try:
        return path.stat().st_mtime < time.time() - 24 * 3600
    except FileNotFoundError:
        return False


def write_json(path, value):
    """Writes `value` as indented JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def write_history(path, rows):
    """Writes a list of equal dicts, one an epoch, as CSV."""
    import pandas as pd

    with replacing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def write_lines(path, lines):
    """Writes texts as the lines of a UTF-8 file."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def sha256(path):
    """Returns the SHA-256 of a file's content in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path):
    """Returns the JSON value in `path`, or raises `UserError`."""
    try:
        return json.loads(pathlib.Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: expected a file. Check the run folder. Received: nothing there"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: expected JSON. Restore or remove the file. Received: {error}"
        ) from None
