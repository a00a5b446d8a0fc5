"""Data sets in .zip and .tar files, and downloads from Kaggle.

An archive is untrusted. Its size, ratio and number of files are bounded before anything is written,
and every member stays inside the target folder.
"""

import errno
import pathlib
import re
import shutil
import tarfile
import zipfile

from insideout_tf import imports
from insideout_tf.errors import UserError

MAX_ARCHIVE_BYTES = 4 << 30  # expanded; FER2013 as CSV has 0.3 GB
MAX_ARCHIVE_RATIO = 200  # expanded over stored; FER2013 as CSV compresses about three times
MAX_ARCHIVE_MEMBERS = 500_000
# What the system answers to names that clash or are too long; the disk has nothing to do with them.
_NAME_ERRORS = (
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.EILSEQ),
)


def is_archive(path):
    """Returns whether a file is a .zip (by its content) or a .tar (by its name).

    Raises `UserError` if the name ends with .zip and the content is not a whole ZIP archive.
    """
    if zipfile.is_zipfile(path):
        return True
    name = path.name.lower()
    if name.endswith(".zip"):
        raise UserError(
            f"{path}: expected a whole ZIP archive. Download it again. Received: "
            "a file without a ZIP directory (truncated?)"
        )
    return name.endswith((".tar.gz", ".tgz", ".tar"))


def extract_archive(path, target):
    """Writes the files of the archive `path` into the folder `target`.

    Raises `UserError` for a damaged archive, one that breaks a limit above, one with links or devices
    and one with members that leave the folder. Errors of the disk stay `OSError`.
    """
    extract = _extract_zip if zipfile.is_zipfile(path) else _extract_tar
    try:
        extract(path, target)
    except UserError:
        raise
    except Exception as error:  # zipfile, tarfile, zlib and lzma raise many kinds
        # A damaged directory makes zipfile seek to an invalid place: EINVAL.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise UserError(
            f"{path}: expected a whole archive. Download it again. "
            f"Received: {type(error).__name__}: {error}"
        ) from None


def _extract_zip(path, target):
    """Writes the files of a .zip, after a check of the sizes in its directory."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_limits(path, len(members), sum(member.file_size for member in members))
        for member in members:
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                raise UserError(
                    f"{path} » {member.filename}: expected files without a password. Unpack the "
                    "archive yourself and give the folder. Received: an encrypted file"
                )
            if (member.external_attr >> 16) & 0o170000 == 0o120000:
                raise UserError(
                    f"{path} » {member.filename}: expected plain files only. Do not trust "
                    "this file. Received: a symbolic link"
                )
            with archive.open(member) as source:
                _write_member(path, member.filename, source, target)


def _extract_tar(path, target):
    """Writes the files of a .tar, compressed or not, with a check at each header."""
    with tarfile.open(path, "r:*") as archive:
        count = size = 0
        for member in archive:
            count, size = count + 1, size + member.size
            _check_limits(path, count, size)
            if member.isdir():
                continue
            if not member.isfile():
                raise UserError(
                    f"{path} » {member.name}: expected plain files only. Do not trust "
                    "this file. Received: a link or a device"
                )
            _write_member(path, member.name, archive.extractfile(member), target)


def _check_limits(path, count, size):
    """Raises `UserError` if an archive has too many files or too many bytes, by its headers."""
    if count > MAX_ARCHIVE_MEMBERS:
        raise UserError(
            f"{path}: expected at most {MAX_ARCHIVE_MEMBERS:,} files. Unpack it "
            f"yourself and give the folder. Received: {count:,}"
        )
    stored = max(path.stat().st_size, 1)
    if size > MAX_ARCHIVE_BYTES or (size > 1 << 26 and size / stored > MAX_ARCHIVE_RATIO):
        raise UserError(
            f"{path}: expected an archive that expands to at most "
            f"{MAX_ARCHIVE_BYTES >> 30} GB and {MAX_ARCHIVE_RATIO} times its size. Do not trust "
            f"this file. Received: {size:,} bytes from {stored:,}"
        )


def _write_member(path, name, source, target):
    """Writes one member to its place in the folder `target`.

    zipfile and tarfile read no more than the size in the member's header, which is checked before.
    """
    parts = pathlib.PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name:
        raise UserError(
            f"{path}: expected members that stay inside the archive's folder. Do not "
            f"trust this file. Received: a member named {name!r}"
        )
    file = target.joinpath(*parts.parts)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        out = open(file, "xb")
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
        raise UserError(
            f"{path} » {name[:200]}: expected each file once, under a name of at most 255 bytes. "
            f"Unpack the archive yourself and give the folder. Received: {error.strerror}"
        ) from None
    with out:
        shutil.copyfileobj(source, out)


def download_from_kaggle(name):
    """Returns the local folder of the Kaggle data set `OWNER/DATASET`.

    kagglehub downloads it once and caches it. Raises `UserError` for a bad name, a missing kagglehub
    or a failed download.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(/versions/\d+)?", name):
        raise UserError(
            f"--data kaggle:{name}: expected kaggle:OWNER/DATASET, for example "
            f"kaggle:msambare/fer2013. Received: {name!r}"
        )
    instead = ", or download the data set in a browser and give its path"
    kagglehub = imports.load("kagglehub", "--data kaggle:...", "", instead)
    try:
        return kagglehub.dataset_download(name)
    except Exception as error:  # network, credentials, unknown data set: kagglehub's own kinds
        reason = str(error).splitlines()[0] if str(error) else ""
        raise UserError(
            f"--data kaggle:{name}: expected a download. Check the name, the network "
            f"and your Kaggle sign-in. Received: {type(error).__name__}: "
            f"{reason}"
        ) from None
