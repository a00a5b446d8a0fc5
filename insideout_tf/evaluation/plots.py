"""Figures from arrays, written as PNG; colours are safe for colour-blind readers (Okabe & Ito).

A function that is named after what it shows returns a Matplotlib figure; `save` writes one. Class
names are in the order of the model's classes; k is their number.
"""

import pathlib

import numpy as np

from insideout_tf import files, targets
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import printable
from insideout_tf.evaluation import metrics

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
MAX_CELL_TEXTS = 16  # classes up to which each cell of a confusion matrix has its numbers
WHITE_TEXT_FROM = 0.55  # of a cell's share: darker cells have white text
DOTS_PER_INCH = 120
MAX_ROWS = 40  # classes of a sheet of samples

# Of learning curves: key of the history, label, colour and style.
LOSS_CURVES = (
    ("loss", "training (augmented)", ORANGE, "o-"),
    ("val_loss", "validation", BLUE, "s-"),
)
SCORE_CURVES = (
    ("clean_accuracy", "training faces, not augmented: accuracy", ORANGE, "o-"),
    ("accuracy", "training, augmented: accuracy", GREY, "--"),
    ("val_accuracy", "validation: accuracy", BLUE, "s-"),
    ("val_macro_f1", "validation: macro-F1", GREEN, "^-"),
)


def save_plots(folder, probabilities, labels, pixels, summary, history=None, classes=EMOTIONS):
    """Writes the plots of an evaluation: confusion.png, reliability.png and mistakes.png.

    Args:
        folder: where to; created if missing.
        probabilities: float `[n, k]`.
        labels: integers `[n]`, from 0 on.
        pixels: uint8 `[n, side, side]` or `[n, side, side, 3]`.
        summary: the content of metrics.json, a dict.
        history: list of a dict per epoch. If given, learning_curves.png is written too.
        classes: the names of the k classes.
    """
    folder = pathlib.Path(folder)
    title = f"{summary.get('experiment') or summary['backbone']}, {summary['split']}"
    save(confusion(summary, title, classes), folder / "confusion.png")
    save(reliability(probabilities, labels, title), folder / "reliability.png")
    save(mistakes(probabilities, labels, pixels, title, classes), folder / "mistakes.png")
    if history:
        save(learning_curves(history, summary.get("best_epoch")), folder / "learning_curves.png")


def confusion(summary, title, classes=EMOTIONS):
    """Returns a figure of the confusion matrix: row-normalised colour, counts beneath.

    Above `MAX_CELL_TEXTS` classes, colour alone shows the shares.

    summary: a dict with `confusion` (counts `[k, k]`), `accuracy` and `macro_f1`. classes: their names.
    """
    counts = np.array(summary["confusion"])
    shares = metrics.normalize_rows(counts)
    has_texts = len(classes) <= MAX_CELL_TEXTS
    size = max(6.4, (0.9 if has_texts else 0.16) * len(classes))
    figure, axes = create_figure(size + 0.8, size)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(classes) if has_texts else 0):
        for column in range(len(classes)):
            axes.text(
                column,
                row,
                f"{shares[row, column]:.0%}\n{counts[row, column]}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if shares[row, column] > WHITE_TEXT_FROM else "black",
            )
    separator, rotation, letters = ("\n", 30, 10) if has_texts else (" ", 90, 7)
    names = [f"{name}{separator}(n={count})" for name, count in zip(classes, counts.sum(1))]
    alignment = "right" if has_texts else "center"
    axes.set_xticks(range(len(classes)), classes, rotation=rotation, ha=alignment, fontsize=letters)
    axes.set_yticks(range(len(classes)), names, fontsize=letters)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(
        f"{title}: accuracy {summary['accuracy']:.1%}, macro-F1 "
        f"{summary['macro_f1']:.3f}\n(share of the true class, count)",
        fontsize=11,
    )
    figure.colorbar(image, ax=axes, fraction=0.046, label="share of the true class")
    return figure


def learning_curves(history, best_epoch=None):
    """Returns a figure of loss, accuracy and macro-F1 over the epochs of all stages.

    Args:
        history: list of a dict per epoch, with `stage`, `epoch` (from 1), and the keys of
            `LOSS_CURVES` and `SCORE_CURVES`.
        best_epoch: its number, which a line marks; 0: the start; None: no line.
    """
    epochs = [int(row["epoch"]) for row in history]
    figure, (left, right) = create_figure(11, 4.4, columns=2)
    for axes, curves in ((left, LOSS_CURVES), (right, SCORE_CURVES)):
        for key, label, colour, style in curves:
            values = [row[key] for row in history]
            axes.plot(epochs, values, style, color=colour, markersize=4, label=label)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)  # or the first stage's name lies outside
        axes.grid(alpha=0.3)
        _mark_stages(axes, epochs, [row["stage"] for row in history])
        if best_epoch:
            axes.axvline(best_epoch, color=BLUE, linewidth=1, alpha=0.5)
    left.set_ylabel("cross-entropy, nats")
    right.set_ylabel("score")
    right.set_ylim(0, 1)
    for axes in (left, right):
        axes.legend(fontsize=8, loc="best")
    best = "" if best_epoch is None else f" (best epoch: {best_epoch or 'the start'})"
    figure.suptitle(f"Learning curves{best}", fontsize=12)
    return figure


def _mark_stages(axes, epochs, names):
    """Writes the name of each stage above its first epoch, and draws a line where it begins."""
    starts = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1])]
    for position, start in enumerate(starts):
        at = epochs[start] - 0.5
        if position:
            axes.axvline(at, color="black", linewidth=1, linestyle=":")
        height = 1.01 + 0.06 * (position % 2)  # two lines, since a stage can be short
        axes.annotate(names[start], (at, height), xycoords=("data", "axes fraction"), fontsize=9)


def reliability(probabilities, labels, title):
    """Returns a reliability diagram: the accuracy of each confidence bin, and its share of faces.

    probabilities: float `[n, k]`. labels: integers `[n]`.
    """
    count, confidence, right = metrics.calibration(probabilities, labels)
    error = metrics.expected_calibration_error(probabilities, labels)
    used = count > 0
    figure, (upper, lower) = create_figure(5.6, 6.2, rows=2, ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfect calibration")
    upper.plot(confidence[used], right[used], "o-", color=BLUE, label="model")
    upper.set_ylabel("accuracy")
    upper.set_title(f"{title}: expected calibration error {error:.3f}", fontsize=11)
    upper.legend()
    edges = np.linspace(0, 1, len(count) + 1)
    lower.bar(
        edges[:-1],
        count / count.sum(),
        width=1 / len(count),
        align="edge",
        color=BLUE,
        edgecolor="white",
    )
    lower.set_ylabel("share of faces")
    lower.set_xlabel("confidence (highest probability)")
    for axes in (upper, lower):
        axes.set_xlim(0, 1)
        axes.grid(alpha=0.3)
    return figure


def mistakes(probabilities, labels, pixels, title, classes=EMOTIONS, count=24):
    """Returns a sheet of the wrongly classified faces with the highest confidence, highest first.

    probabilities: float `[n, k]`. labels: integers `[n]`. pixels: uint8 `[n, side, side]` or
    `[n, side, side, 3]`. classes: their names. count: the most faces that are shown.
    """
    probabilities = np.asarray(probabilities, np.float64)
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:count]
    captions = [
        f"{classes[labels[i]]} → {classes[predicted[i]]}\n{probabilities[i].max():.0%}"
        for i in wrong
    ]
    return sheet(
        [pixels[i] for i in wrong],
        captions,
        f"{title}: most confident mistakes (label → prediction)",
    )


def faces_by_class(faces, columns=10, seed=0):
    """Returns a sheet of sample faces, one row a class.

    faces: a labelled `data.faces.Faces`. columns: the most faces of a class. seed: of the sample.
    """
    random = np.random.default_rng(seed)
    shown, captions = [], []
    for label, name in enumerate(faces.classes[:MAX_ROWS]):
        own = random.permutation(np.flatnonzero(faces.labels == label))[:columns]
        blank = columns - len(own)
        shown += [faces.pixels[i] for i in own] + [None] * blank
        captions += [name if position == 0 else "" for position in range(columns)]
    return sheet(
        shown, captions, f"{pathlib.Path(faces.source).name}: samples by class", columns=columns
    )


def sheet(pixels, captions, title, columns=6):
    """Returns a grid of images, each below its caption, row by row.

    pixels: list of arrays `[h, w]` or `[h, w, 3]`, 0..255; None leaves a place empty. captions: list of as many
    texts, of one or two lines.
    """
    rows = max(1, -(-len(pixels) // columns))
    has_two = any("\n" in caption for caption in captions)
    figure, grid = create_figure(
        1.35 * columns, (1.75 if has_two else 1.5) * rows + 0.6, rows, columns
    )
    grid = np.atleast_1d(grid).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, pixels, captions):
        if image is not None:
            axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=8)
    figure.suptitle(title if len(pixels) else f"{title}: none", fontsize=11)
    return figure


def heat(pixels, shown, probabilities, title, classes=EMOTIONS):
    """Returns a figure of faces, a row each: the face, then its heat maps laid over it.

    Args:
        pixels: uint8 `[n, side, side]` or `[n, side, side, 3]`, at least one face.
        shown: list of (maps, labels), one a column, at least one: float `[n, side, side]` in 0..1
            and class indices `[n]`.
        probabilities: float `[n, k]`.
        title: of the figure.
        classes: the names of the k classes.
    """
    columns = 1 + len(shown)
    figure, grid = create_figure(
        2.6 * columns + 0.8, 2.75 * len(pixels) + 0.6, len(pixels), columns
    )
    grid = np.asarray(grid).reshape(len(pixels), columns)
    for row, face in enumerate(pixels):
        for column, axes in enumerate(grid[row]):
            axes.axis("off")
            axes.imshow(face, cmap="gray", vmin=0, vmax=255)
            if not column:
                axes.set_title("face", fontsize=10)
                continue
            maps, labels = shown[column - 1]
            label = labels[row]
            drawn = axes.imshow(maps[row], cmap="inferno", vmin=0, vmax=1, alpha=0.55)
            axes.set_title(f"{classes[label]} {probabilities[row, label]:.0%}", fontsize=10)
    bar = figure.colorbar(drawn, ax=grid.ravel().tolist(), fraction=0.03)
    bar.set_label("support for the class (relative to its maximum)", fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def save(figure, path, kind=None, overwrite=True):
    """Writes one figure as PNG, whole or not at all.

    Names of files and recipes are drawn as they are: "$" does not begin a formula. Control characters
    are escaped, and so are those that the font lacks.

    Args:
        figure: of Matplotlib.
        path: the file.
        kind: a word kept in the file, by which `targets.is_picture` recognises it.
        overwrite: False raises `FileExistsError` if a file has appeared there.
    """
    _take_text_literally(figure)
    with files.replacing(path, overwrite) as temporary:
        figure.savefig(
            temporary,
            dpi=DOTS_PER_INCH,
            format="png",
            bbox_inches="tight",
            pad_inches=0.1,
            metadata=None if kind is None else {targets.PICTURE_KEY: kind},
        )


def _take_text_literally(figure):
    from matplotlib import font_manager
    from matplotlib.text import Text

    known: dict[str, dict] = {}  # characters by the file of a font
    for text in figure.findobj(Text) if hasattr(figure, "findobj") else ():
        path = font_manager.findfont(text.get_fontproperties())
        if path not in known:
            known[path] = font_manager.get_font(path).get_charmap()
        text.set_parse_math(False)
        text.set_text(
            "".join(
                each if each == "\n" or ord(each) in known[path] else ascii(each)[1:-1]
                for each in printable(text.get_text(), keep="\n")
            )
        )


def create_figure(width, height, rows=1, columns=1, ratios=None):
    """Returns a figure that needs no display, and its axes.

    width, height: in inches. ratios: relative heights of the rows. The axes are as of Matplotlib's
    `subplots`: one, or an array of them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, height_ratios=ratios)
    return figure, axes
