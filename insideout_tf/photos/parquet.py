"""Records as parquet: part files while a call works, since one file is readable only at its end."""

import contextlib
import importlib.util
import pathlib

from insideout_tf import files
from insideout_tf.errors import UserError
from insideout_tf.photos import records

PART = "part-{}.parquet"  # with the number of the first picture
COMMIT_SECONDS = 20.0  # between two parts
MAX_RECORDS = 50_000  # of a part
ROW_GROUP = 100_000  # records of a row group of the joined file
KEY = b"insideout_tf"  # of the metadata


class Parts:
    """The part files of a table, each whole and with all records of its pictures.

    pictures: the number of pictures that are done; later parts are removed.
    """

    position = 0  # a part is all there or not

    def __init__(self, folder, classes, pictures):
        self._folder, self._classes, self._rows = pathlib.Path(folder), classes, []
        self.begin(pictures)
        for part in list_parts(folder):
            if int(part.stem.partition("-")[2]) >= pictures:
                part.unlink()

    def begin(self, pictures):
        """Lets the next part begin at a picture."""
        self._first = pictures

    def write(self, record):
        """Adds a record to the part that `sync` writes."""
        self._rows.append(record)

    def is_full(self):
        """Returns True if it is time for `sync`."""
        return len(self._rows) >= MAX_RECORDS

    def sync(self):
        """Writes the part."""
        import pyarrow.parquet

        if self._rows:
            with files.replacing(self._folder / PART.format(f"{self._first:012}")) as temporary:
                pyarrow.parquet.write_table(to_table(self._rows, self._classes), temporary)
            self._rows = []

    def close(self):
        """Does nothing: every part is closed."""


def check_installed():
    """Raises `UserError` without the package pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            "--out: expected the package pyarrow, which writes parquet. Install it with `pip install "
            "pyarrow`, or write .csv or .jsonl. Received: no such package"
        )


def list_parts(folder):
    """Returns the paths of the parts in a folder, in the order of their pictures."""
    return sorted(pathlib.Path(folder).glob(PART.format("*")))


def to_table(rows, classes):
    """Returns records as a pyarrow Table: a row a face, the columns of the CSV without those of frames."""
    import pyarrow as pa

    columns = {
        "source": ([_to_utf8(row["source"]) for row in rows], pa.string()),
        "faces": ([row["faces"] for row in rows], pa.string()),
        "face": ([row.get("face") for row in rows], pa.int32()),
        **{
            name: ([row["box"] and row["box"][index] for row in rows], pa.int32())
            for index, name in enumerate(records.BOX_FIELDS)
        },
        "score": ([row["score"] for row in rows], pa.float32()),
        "emotion": ([row["emotion"] for row in rows], pa.string()),
    }
    arrays = [pa.array(values, kind) for values, kind in columns.values()]
    arrays += [
        pa.array([(row["probabilities"] or {}).get(name) for row in rows], pa.float32())
        for name in classes
    ]
    table = pa.Table.from_arrays(arrays, names=[*columns, *classes])
    return table.replace_schema_metadata({KEY: b"predictions"})


def _to_utf8(text):
    """Returns a path as text; bytes of its name that are no UTF-8 become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def join(folder, out, classes):
    """Writes the parts as one file, with few of them in memory."""
    import pyarrow as pa
    import pyarrow.parquet

    schema = to_table([], classes).schema
    with (
        files.replacing(out) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema) as writer,
    ):
        waiting: list = []
        for part in list_parts(folder):
            waiting.append(pyarrow.parquet.read_table(part))
            if sum(map(len, waiting)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting), ROW_GROUP)
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting), ROW_GROUP)


def is_ours(path):
    """Returns True if a file is a table that this package wrote, or if it is empty."""
    import pyarrow.parquet

    with open(path, "rb") as file:
        if not file.read(1):
            return True
    with contextlib.suppress(Exception):  # pyarrow raises many kinds for what is no parquet
        return (pyarrow.parquet.read_schema(path).metadata or {}).get(KEY) == b"predictions"
    return False
