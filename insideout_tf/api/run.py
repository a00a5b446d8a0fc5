"""A run as a notebook uses it: its model, its figures, and what can be done with them."""

import functools
import pathlib

from insideout_tf import files, runs
from insideout_tf.errors import UserError
from insideout_tf.serving import packaged


class Run:
    """A finished run folder.

    Examples:
        >>> run = insideout_tf.open_run("runs/effnet_b2")
        >>> run.metrics["accuracy"], run.history.tail(1), run.predict(["face.png"])

    Attributes:
        path: the folder, a `pathlib.Path`.
    """

    def __init__(self, path):
        """Opens a run folder; raises `UserError` if it holds no finished run."""
        file, run = packaged.model_path(path)
        if run is None:
            raise UserError(
                f"{path}: expected a run folder with {packaged.CONFIG}. Open a model file with "
                f"insideout_tf.load. Received: {file}"
            )
        self.path = run

    def __repr__(self):
        return f"Run({str(self.path)!r})"

    @functools.cached_property
    def experiment(self):
        """The `config.Experiment` that was trained."""
        return runs.experiment_of(self.path)

    @functools.cached_property
    def model(self):
        """The plain Keras model: float32 `[n, side, side, channels]`, 0..255, to probabilities `[n, k]`."""
        from insideout_tf.api.load import load

        return load(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the probabilities."""
        return self.model.contract.classes

    @property
    def metrics(self) -> dict:
        """The content of metrics.json: the figures of the validation split."""
        return files.read_object(self.path / runs.METRICS)

    @property
    def history(self):
        """The epochs of the training, a pandas DataFrame with a row each."""
        import pandas as pd

        path = self.path / runs.HISTORY
        if not path.exists():
            raise UserError(
                f"{path}: expected the history of the run. Train it again. Received: nothing there"
            )
        try:
            return pd.read_csv(path)
        except ValueError as error:  # pandas' own kinds, and bytes that are no UTF-8
            raise UserError(
                f"{path}: expected a CSV file. Restore or remove it. Received: {error}"
            ) from None

    def evaluate(
        self, split="validation", data=None, tta="none", out=None, overwrite=False
    ) -> dict:
        """Evaluates the model on a split and returns its metrics, as `insideout evaluate` does.

        Args:
            split: "validation", "public", "private", "merged", "training" or "rest". "private" is
                the test split: report it once, for a final model.
            data: what `read_faces` reads; the data of the run by default.
            tta: "flip" averages each face with its mirror image.
            out: the folder for metrics.json, predictions.npz and plots; a folder in the run by
                default.
            overwrite: replace another evaluation in the folder, such as one of other data.

        Raises:
            UserError: the data is missing, has no such split, or the folder is not free.
        """
        from insideout_tf.api.evaluate import evaluate

        return evaluate(self.path, data, split, tta, out, overwrite=overwrite)[0]

    def predict(self, images, tta="none", batch_size=256):
        """Returns float32 `[n, k]` probabilities of cropped faces; `images` as of `predict_emotions`."""
        from insideout_tf.api.predict import predict_emotions

        return predict_emotions(images, str(self.path), batch_size=batch_size, tta=tta)

    def explain(self, image, emotion=None, smooth=0, layer=None, faces="auto"):
        """Returns the Grad-CAM `Explanation` of each face; arguments as of `explain_images`."""
        from insideout_tf.api.explain import explain_images

        return explain_images(
            image, self.path, emotion=emotion, smooth=smooth, layer=layer, faces=faces
        )

    def report(
        self, out, others=(), split="validation", tta="none", data=None, overwrite=False
    ) -> pathlib.Path:
        """Writes the HTML page of this run and returns its path.

        others: runs that are shown beside it. The other arguments as of `report_runs`.
        """
        from insideout_tf.api.report import report_runs

        runs_shown = [self, *others]
        return report_runs(runs_shown, out, split=split, tta=tta, data=data, overwrite=overwrite)

    def export(
        self,
        out,
        formats=("savedmodel", "litert", "onnx"),
        quantize="none",
        data=None,
        overwrite=False,
        embeddings=False,
        version=1,
    ) -> dict:
        """Writes the model for TF Serving, LiteRT and ONNX Runtime; returns what export.json holds.

        Arguments as of `insideout export`. Raises `UserError`.
        """
        from insideout_tf.api.export import export

        return export(
            self.path, out, tuple(formats), quantize, data, overwrite, embeddings, version
        )


def open_run(path) -> Run:
    """Opens a finished run folder; raises `UserError` if it is none."""
    return Run(path)
