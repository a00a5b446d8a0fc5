"""FER2013 in every published form, read into one `Faces`; nothing is silently dropped."""

import dataclasses
import pathlib

from insideout_tf.data import folders
from insideout_tf.data.faces import Faces
from insideout_tf.errors import UserError

# SHA-256 of the published files.
KNOWN_FILES = {
    "3b8d9617d1017f34733c8f2474d7784c563ce86c40a86ac12c2d37cc968f871b": (
        "fer2013.csv (official FER2013, 35,887 faces)"
    ),
    "2c7ce224ef03ec2e2e522d10b93a069900b26fa1c028174d91d5f1f8013a2884": (
        "icml_face_data.csv (official FER2013, 35,887 faces)"
    ),
    "7e543c09d919a1963955bc465479b49985958b29c7be22108a96d91b3f17d11c": (
        "train.csv (official FER2013 Training, 28,709 faces)"
    ),
    "e054333e7218ada3a7ae0cea2853646987e8af55c23dd8615f015b29de307fc9": (
        "test.csv (official FER2013, 7,178 faces without labels)"
    ),
}
# `content_digest` of the same faces in any other file or order.
KNOWN_CONTENTS = {
    "bdbc16ce796b9ed046cc96a34a6c1f56082645783b7829f97b7f654e36732696": "the 35,887 faces of official FER2013",
    "874c877d6d6958302868136da89766fd38c41efe60f9dafdf2b8670dd20053d3": "the 28,709 Training faces of official FER2013",
}


def read_faces(path, bad_rows="stop"):
    """Reads FER2013 from a CSV, npz, folder tree, .zip or .tar.gz, or `kaggle:OWNER/DATASET`.

    bad_rows: "stop" at the first bad row or image, or "skip" them all and list them in
    `Faces.skipped`. Returns `Faces`. Raises `UserError` with the line or file at fault.
    """
    if bad_rows not in ("stop", "skip"):
        raise UserError(f"bad_rows: expected 'stop' or 'skip'. Received: {bad_rows!r}")
    text = str(path)
    if text == "drawn":
        from insideout_tf.data import drawn

        pixels, labels, usage = drawn.draw_all()
        return Faces(pixels, labels, usage, source="drawn")
    if text.startswith("kaggle:"):
        path = folders.download_from_kaggle(text.removeprefix("kaggle:"))
    path = folders.locate(pathlib.Path(path).expanduser())
    skipped: list[str] | None = [] if bad_rows == "skip" else None
    parsed = folders.read_any(path, skipped)
    faces = Faces(
        parsed.pixels,
        parsed.labels,
        parsed.usage,
        source=str(path),
        identified=KNOWN_FILES.get(parsed.sha256),
        names=parsed.names,
        skipped=tuple(skipped or ()),
    )
    if faces.identified is None and faces.labels is not None:
        faces = dataclasses.replace(faces, identified=KNOWN_CONTENTS.get(faces.digest))
    return faces
