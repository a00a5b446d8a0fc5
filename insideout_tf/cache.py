"""Parsed faces kept in the user's cache folder, found again by the content of the file they are from."""

import contextlib
import os
import pathlib
import sys

import numpy as np

from insideout_tf import runs

FORMAT = 1  # part of every key: raise it when what is stored, or how a file is read, changes
ENTRIES = 8  # the newest are kept; FER2013 takes 83 MB


def folder():
    """Returns the folder of parsed files: under XDG_CACHE_HOME, or where the system keeps caches."""
    if "XDG_CACHE_HOME" in os.environ:
        base = pathlib.Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "win32":
        base = pathlib.Path(os.environ.get("LOCALAPPDATA", pathlib.Path.home()))
    elif sys.platform == "darwin":
        base = pathlib.Path.home() / "Library/Caches"
    else:
        base = pathlib.Path.home() / ".cache"
    return base / "insideout_tf" / "faces"


def load(path):
    """Returns the dict of arrays stored for a file of exactly this content, or None.

    The file is hashed whole (SHA-256), whatever its name and date, unless no entry is of its size.
    """
    size = path.stat().st_size
    with contextlib.suppress(OSError):
        if not any(folder().glob(f"{FORMAT}-{size}-*.npz")):
            return None
    entry = _entry(size, runs.sha256(path))
    try:
        with np.load(entry, allow_pickle=False) as stored:  # verifies the checksums
            arrays = {name: stored[name] for name in stored.files}
        entry.touch()  # used lately
        return arrays
    except Exception:  # absent, damaged in any of NumPy's and zipfile's ways, or unreadable
        return None


def save(path, digest, arrays):
    """Stores a dict of arrays for the file `path`; drops the oldest entries.

    digest: the file's SHA-256 where it is known already, else None. Whole or not at all; a folder that
    cannot be written only costs the next read its time.
    """
    with contextlib.suppress(OSError):
        entry = _entry(path.stat().st_size, digest or runs.sha256(path))
        with runs.replacing(entry) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)
        entries = sorted(folder().glob("[0-9]*.npz"), key=lambda file: file.stat().st_mtime)
        abandoned = filter(runs.is_abandoned, folder().glob(f"{runs.TEMPORARY}*"))
        for file in (*entries[:-ENTRIES], *abandoned):
            file.unlink(missing_ok=True)


def _entry(size, digest):
    return folder() / f"{FORMAT}-{size}-{digest}.npz"
