"""The pictures and videos in folders."""

import os
import pathlib

from insideout_tf.data import images
from insideout_tf.photos import draw, video


def expand_folders(sources, report_error):
    """Yields files and cameras, and the pictures and videos in folders and their subfolders.

    Hidden files and the annotated copies of earlier calls are no sources, unless they are named.

    Args:
        sources: paths and names of cameras.
        report_error: called with the `OSError` of each folder that cannot be read.
    """
    for source in sources:
        if source.startswith(video.WEBCAM) or not pathlib.Path(source).is_dir():
            yield source
            continue
        found = []
        for root, folders, names in os.walk(source, onerror=report_error):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [pathlib.Path(root, name) for name in names if not name.startswith(".")]
        for path in sorted(found):
            if path.suffix.lower() in (*images.SUFFIXES, *video.SUFFIXES) and path.is_file():
                if not is_annotated(path):
                    yield str(path)


def is_annotated(path):
    """Returns True if a file is the annotated copy of an earlier call; only likely names are opened."""
    try:
        return draw.SUFFIX in path.stem and draw.is_annotation(path)
    except OSError:  # the reader of the picture says why
        return False
