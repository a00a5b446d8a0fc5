"""The files that come with the package, also where it is imported from a ZIP archive (Spark, zipapp)."""

import atexit
import functools
import pathlib
import shutil
import tempfile
import zipfile


@functools.cache
def folder():
    """Returns the folder of the package: models, recipes, templates and programs lie in it.

    A package in an archive is unpacked once, into a temporary folder that ends with the process.
    """
    here = pathlib.Path(__file__).resolve().parent
    archive = next((each for each in here.parents if each.is_file()), None)
    if archive is None:
        return here
    unpacked = tempfile.mkdtemp(prefix="insideout_tf_")
    atexit.register(shutil.rmtree, unpacked, ignore_errors=True)
    inside = here.relative_to(archive).as_posix()
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(
            unpacked, [each for each in opened.namelist() if each.startswith(f"{inside}/")]
        )
    return pathlib.Path(unpacked, inside)
