"""Recognises many pictures on the workers of a Ray cluster, by Ray Data (Moritz et al. 2018).

Ray distributes the chunks, restarts workers that end, and does again what they had not finished. The table is
written by the calling process, in the order of the pictures, as without Ray.
"""

import contextlib
import logging
import os
import pickle

from insideout_tf import imports, processes
from insideout_tf.api import bulk
from insideout_tf.errors import UserError

LOCAL = "local"  # the address that starts a cluster on this machine
MAX_BLOCKS = (
    10_000  # of the list of chunks: what a worker that ends had not finished is at most one
)
_QUIET = {  # what Ray reads from the environment when it starts
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS": "1",
}


def check_installed():
    """Raises `UserError` without the package ray."""
    if not imports.is_installed("ray"):
        raise UserError(
            '--ray: expected the package ray. Install it with `pip install ".[ray]"`. Received: no '
            "such package"
        )


def create_run(address=LOCAL, workers=None):
    """Returns a function as `bulk.run`, which works on a Ray cluster.

    Args:
        address: of the cluster: "auto", `ray://HOST:10001`, `HOST:6379`; or "local", which starts one on this
            machine. A Ray that this process has started already is used as it is.
        workers: the number of worker processes; None takes one for each processor of the cluster.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """
    check_installed()

    def run(job, paths, _, recognize_faces):
        with _connected(address, workers):
            for index, (number, chunk, results) in enumerate(_map(job, paths, workers)):
                assert number == index, "Ray Data keeps the order of rows"
                if results.unrecognized is not None:
                    results = bulk.add_probabilities(results, recognize_faces)
                yield chunk, results

    return run


@contextlib.contextmanager
def _connected(address, workers):
    """Connects this process to the cluster, and disconnects it at the end."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        options |= {"num_cpus": workers or None, "include_dashboard": False}
    try:
        ray.init(address=address, **options)
    except Exception as error:  # Ray raises many kinds for a cluster that does not answer
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise UserError(
            f"--ray: expected a Ray cluster that answers. Start one with `ray start --head`, or give its "
            f"address. Received: {address}, {reason}"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _map(job, paths, workers):
    """Yields (number, chunk, `bulk.Results`) of pictures, in their order."""
    import ray

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if workers is None:
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    chunks = [
        {"number": number, "paths": list(chunk)}
        for number, chunk in enumerate(bulk.split_into_chunks(map(os.path.abspath, paths)))
    ]
    names = iter(bulk.split_into_chunks(paths))
    data = ray.data.from_items(chunks, override_num_blocks=min(len(chunks), MAX_BLOCKS)).map(
        _Worker,
        fn_constructor_args=(job,),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    for row in data.iter_rows():
        chunk = list(next(names))
        yield row["number"], chunk, _rename(pickle.loads(row["results"]), chunk)


def _rename(results, chunk):
    """Returns `bulk.Results` of absolute paths with the paths that the caller gave."""
    given = {os.path.abspath(path): path for path in chunk}
    for row in results.rows:
        row["source"] = given[row["source"]]
    unrecognized = results.unrecognized and [
        result._replace(source=given[result.source]) for result in results.unrecognized
    ]
    errors = [
        (given[path], message.replace(path, given[path], 1)) for path, message in results.errors
    ]
    return results._replace(errors=errors, unrecognized=unrecognized)


class _Worker:
    """An actor of Ray with the detector and the model."""

    def __init__(self, job):
        processes.limit_threads()
        self._job = job
        self._recognize_faces = job.load() if job.has_model else None

    def __call__(self, row):
        results = bulk.recognize_chunk(list(row["paths"]), self._job, self._recognize_faces)
        return {"number": row["number"], "results": pickle.dumps(results)}
