"""Whole files or none, and never over what is not ours: every writer of this package goes through here."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import time

from insideout_tf import targets
from insideout_tf.errors import UserError

TEMPORARY = ".unfinished-"  # begins the name of a file that is being written
MAX_SUFFIX = 15  # letters of a temporary name's suffix
WEIGHTS_SUFFIX = ".weights.h5"  # without it Keras writes no weights
MAX_NAME = 255  # bytes of a file name, where the file system does not tell
MARKER = ".insideout_tf.json"  # in every folder that a verb made, with the kind of the folder
_swept: set = set()  # folders whose abandoned temporary files this process has removed


@dataclasses.dataclass(frozen=True)
class FolderKind:
    """What a verb writes into a folder of its own.

    Attributes:
        name: in the marker.
        title: in messages, with its article.
        patterns: of the files' paths in the folder. "*" is any part of a name, "**" of a path.
        nested: kinds of folders that may lie inside and belong to it.
    """

    name: str
    title: str
    patterns: tuple[str, ...]
    nested: tuple["FolderKind", ...] = ()

    def has(self, path):
        """Returns True if a relative path, as text with "/", is one of the kind's files."""
        if any(is_temporary(part) for part in path.split("/")):
            return True
        return path == MARKER or any(_to_regex(each).fullmatch(path) for each in self.patterns)


def _to_regex(pattern):
    parts = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(p, re.escape(p)) for p in parts))


@contextlib.contextmanager
def replacing(path, overwrite=True):
    """Yields a temporary path beside `path`, moved over it only if the block succeeds.

    Without `overwrite`, a file that has appeared at `path` in the meantime stays, and
    `FileExistsError` is raised. What killed writers of the folder left is removed after a day.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = name_temporary(path)
    _sweep_once(path.parent)
    try:
        with _named(path, temporary):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            if overwrite:
                os.replace(temporary, path)
            else:
                _move_to_new(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _move_to_new(temporary, path):
    """Moves a file to a name that does not exist yet, or raises `FileExistsError`."""
    try:
        os.link(temporary, path)  # atomic: it never replaces
        return
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, "Another file has appeared there", str(path)) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(
                errno.EEXIST, "Another file has appeared there", str(path)
            ) from None
    os.replace(temporary, path)


def _sweep_once(folder):
    """Removes the temporary files in a folder whose writers were killed, once in a process."""
    if folder in _swept:
        return
    _swept.add(folder)
    with os.scandir(folder) as entries:
        left = [each.path for each in entries if is_temporary(each.name)]
    for path in map(pathlib.Path, left):
        if path.is_file() and is_abandoned(path):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(path, temporary):
    """Lets errors name the file that the user gave instead of its temporary one."""
    try:
        yield
    except OSError as error:
        if str(error.filename).startswith(str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    except UserError as error:
        raise UserError(str(error).replace(str(temporary), str(path))) from None


def check_folder(path, kind, overwrite=False, is_moved=False):
    """Raises `UserError` unless a verb may write a folder to `path`: call it before the work begins.

    There may be nothing, or an empty folder; with `overwrite` also a folder of the same `FolderKind`
    with our marker, if it holds no other file. is_moved: the folder is written by `replacing_folder`,
    which cannot replace the current one.
    """
    path = pathlib.Path(path)
    if is_moved and path.is_dir():
        here, there = os.path.realpath("."), os.path.realpath(path)
        if os.path.commonpath([here, there]) == there:
            raise UserError(
                f"{path}: expected another folder than the current one. Name a new folder in it. "
                f"Received: {there}"
            )
    if os.path.lexists(path) and not path.is_dir():
        raise UserError(
            f"{path}: expected a folder to write to. Choose another. Received: "
            f"{targets.describe_node(path)}"
        )
    if not path.exists() or is_empty(path):
        return
    is_ours = read_marker(path) == kind.name
    if not overwrite or not is_ours:
        advice = ", or add --overwrite to replace it" if is_ours else ""
        received = f"{kind.title} of an earlier call" if is_ours else "a folder with other files"
        raise UserError(
            f"{path}: expected nothing there yet. Choose another folder{advice}. Received: {received}"
        )
    for foreign in list_files(path, kind, foreign=True):
        raise UserError(
            f"{path}: expected nothing but {kind.title}, which --overwrite replaces. Move other files "
            f"away, or choose another folder. Received: {foreign}"
        )


def is_empty(folder):
    """Returns True if a folder holds nothing, or nothing but our marker and temporary files."""
    return all(name == MARKER or is_temporary(name) for name in os.listdir(folder))


def mark(folder, kind):
    """Marks a folder as made by this package; creates it if necessary. kind: a `FolderKind`."""
    write_json(pathlib.Path(folder) / MARKER, {"made_by": "insideout_tf", "kind": kind.name})


def read_marker(folder):
    """Returns the name of the `FolderKind` of a folder that this package made, or None."""
    path = pathlib.Path(folder) / MARKER
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return read_object(path).get("kind")
    except (UserError, OSError):
        return None


def list_files(folder, kind, foreign=False):
    """Returns the paths in a folder, relative and with "/", that are of a `FolderKind`.

    foreign: return those that are not instead. Links are never followed.
    """
    found: list[str] = []
    nested = {each.name: each for each in kind.nested}
    for root, folders, names in os.walk(folder):
        inner = pathlib.Path(root).relative_to(folder).as_posix()
        inner = "" if inner == "." else f"{inner}/"
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        for name in list(folders):
            child = nested.get(read_marker(os.path.join(root, name)))
            if child is not None and name not in links:
                inside = list_files(os.path.join(root, name), child, foreign)
                found += [f"{inner}{name}/{each}" for each in inside]
                folders.remove(name)
        found += [
            f"{inner}{name}" for name in (*names, *links) if kind.has(f"{inner}{name}") != foreign
        ]
    return sorted(found)


def clear(folder, kind):
    """Removes the files of a `FolderKind` from a folder, then the folder if nothing is left in it."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return
    for name in list_files(folder, kind):
        (folder / name).unlink(missing_ok=True)
    for root, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):  # something else is in it
            os.rmdir(root)


@contextlib.contextmanager
def replacing_folder(path, kind, overwrite=False):
    """Yields a temporary folder beside `path`, moved to it only if the block succeeds.

    With `overwrite` it takes the place of an earlier folder of the same `FolderKind`. What earlier
    writers of `path` left beside it when they were killed is removed after a day.

    Raises:
        UserError: what `check_folder` raises, also if the folder has appeared in the meantime.
    """
    shown, path = pathlib.Path(path), pathlib.Path(os.path.realpath(path))
    check_folder(shown, kind, overwrite, is_moved=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = name_temporary(path), name_temporary(path, "-old")
    for folder in path.parent.glob(f"{TEMPORARY}*[0-9].{_shorten(path)}"):
        if is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
    try:
        with _named(shown, temporary):
            temporary.mkdir()
            yield temporary
            mark(temporary, kind)
            check_folder(shown, kind, overwrite)
            if path.exists():
                path.rename(old)
            try:
                temporary.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        clear(old, kind)


def name_temporary(path, part="", process=None):
    """Returns the path of what is written before it is moved to `path`, in the same folder.

    The name is short, so that it fits wherever the name of the file does. It has the suffix of the file,
    which Keras and others read.

    part: "-old" for the folder that is moved away. process: its id; this one by default.
    """
    return path.with_name(f"{TEMPORARY}{process or os.getpid()}{part}.{_shorten(path)}")


def _shorten(path):
    """Returns a short name that is always the same for one name: a digest, and the suffix."""
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=4).hexdigest()
    if path.name.endswith(WEIGHTS_SUFFIX):
        return digest + WEIGHTS_SUFFIX
    is_suffix = re.fullmatch(rf"\.\w{{1,{MAX_SUFFIX}}}", path.suffix, re.ASCII)
    return digest + (path.suffix if is_suffix else "")


def is_disk_full(error):
    """Returns whether an error means that nothing more can be written there."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
    return isinstance(error, OSError) and error.errno in full


def max_name_bytes(folder):
    """Returns how many bytes a file name in a folder may have; the folder need not be there yet."""
    folder = pathlib.Path(folder).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return os.statvfs(folder).f_namemax or MAX_NAME
    except (AttributeError, OSError):  # Windows
        return MAX_NAME


def is_temporary(name):
    """Returns True if a name is one that this package gives to files and folders being written."""
    return re.match(rf"{re.escape(TEMPORARY)}(\d+(-old)?\.|lock$)", name) is not None


def is_abandoned(path):
    """Says whether a temporary file or folder is a day old, so that its writer was killed."""
    try:
        return path.stat().st_mtime < time.time() - 24 * 3600
    except FileNotFoundError:
        return False


def write_json(path, value):
    """Writes `value` as indented JSON; bytes of a file name that are no UTF-8 become its escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


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
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too many digits, too deep
        raise UserError(
            f"{path}: expected JSON. Restore or remove the file. Received: {error}"
        ) from None


def read_object(path, **kinds):
    """Returns the JSON object in `path`, a dict, or raises `UserError`.

    kinds: the types of keys that must be there, such as `accuracy=float`. A float may be whole.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(
            f"{path}: expected a JSON object. Restore or remove the file. Received: "
            f"{type(value).__name__}"
        )
    for name, kind in kinds.items():
        if not isinstance(value.get(name), (float, int) if kind is float else kind):
            raise UserError(
                f"{path}: expected a {kind.__name__} as {name}. Restore or remove the file. Received: "
                f"{value.get(name)!r:.100}"
            )
    return value
