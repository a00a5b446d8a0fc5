"""Every figure shows the numbers and the faces that it was given, each in its place."""

import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import Faces
from insideout_tf.evaluation import metrics, plots

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (60, 48, 48), np.uint8)
LABELS = RANDOM.integers(0, 6, 60)  # none is neutral
LOGITS = RANDOM.normal(size=(60, 7)) + 1.5 * np.eye(7)[LABELS]
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


def shown_images(figure):
    """Returns the images of each place of a sheet, in reading order."""
    return [[np.asarray(image.get_array()) for image in axes.images] for axes in figure.axes]


def curves(axes):
    """Returns {label: (x, y)} of the lines that the legend of some axes names."""
    return {
        line.get_label(): line.get_data()
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_confusion_shows_every_count_and_share():
    summary = metrics.summarize(PROBABILITIES, LABELS)
    figure = plots.confusion(summary, "made")
    axes = figure.axes[0]
    counts = np.array(summary["confusion"])
    assert len(axes.texts) == 49
    for text in axes.texts:
        column, row = text.get_position()
        count, total = counts[row, column], max(counts[row].sum(), 1)
        assert text.get_text() == f"{count / total:.0%}\n{count}"
    shares = np.asarray(axes.images[0].get_array())
    assert np.allclose(shares, summary["confusion_normalized"], atol=1e-6)
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_xticklabels()] == list(EMOTIONS)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"{name}\n(n={count})" for name, count in zip(EMOTIONS, counts.sum(1))
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert f"accuracy {summary['accuracy']:.1%}, macro-F1 {summary['macro_f1']:.3f}" in (
        axes.get_title()
    )


def test_reliability_shows_the_bins():
    figure = plots.reliability(PROBABILITIES, LABELS, "made")
    upper, lower = figure.axes
    count, confidence, right = metrics.calibration(PROBABILITIES, LABELS)
    used = count > 0
    assert 2 < used.sum() < len(count)
    x, y = curves(upper)["model"]
    assert np.array_equal(x, confidence[used]) and np.array_equal(y, right[used])
    assert np.allclose([bar.get_height() for bar in lower.patches], count / 60)
    assert np.allclose([bar.get_x() for bar in lower.patches], np.arange(15) / 15)
    error = metrics.expected_calibration_error(PROBABILITIES, LABELS)
    assert upper.get_title() == f"made: expected calibration error {error:.3f}"


def test_learning_curves_show_the_history():
    keys = [key for key, *_ in (*plots.LOSS_CURVES, *plots.SCORE_CURVES)]
    history = [
        {"stage": stage, "epoch": epoch, **{key: RANDOM.uniform() for key in keys}}
        for epoch, stage in enumerate(("head", "head", "all", "all", "all"), start=1)
    ]
    figure = plots.learning_curves(history, best_epoch=4)
    for axes, expected in zip(figure.axes, (plots.LOSS_CURVES, plots.SCORE_CURVES), strict=True):
        drawn = curves(axes)
        assert list(drawn) == [label for _, label, *_ in expected]
        for key, label, *_ in expected:
            assert list(drawn[label][0]) == [1, 2, 3, 4, 5]
            assert list(drawn[label][1]) == [row[key] for row in history]
        assert [(text.get_text(), text.xy[0]) for text in axes.texts] == [
            ("head", 0.5),
            ("all", 2.5),
        ]
        vertical = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
        assert sorted(vertical) == [2.5, 4]
    colours = [to_hex(line.get_color()) for line in figure.axes[1].lines[:4]]
    assert len(set(colours)) == 4
    assert figure.get_suptitle() == "Learning curves (best epoch: 4)"
    assert plots.learning_curves(history).get_suptitle() == "Learning curves"


@pytest.mark.slow
def test_mistakes_begin_with_the_most_confident():
    predicted, confidence = PROBABILITIES.argmax(1), PROBABILITIES.max(1)
    wrong = sorted(np.flatnonzero(predicted != LABELS), key=lambda i: -confidence[i])
    assert len(wrong) > 5
    figure = plots.mistakes(PROBABILITIES, LABELS, PIXELS, "made", count=5)
    images = shown_images(figure)
    assert [len(images[place]) for place in range(6)] == [1, 1, 1, 1, 1, 0]
    for place, i in enumerate(wrong[:5]):
        assert np.array_equal(images[place][0], PIXELS[i])
        assert figure.axes[place].get_title() == (
            f"{EMOTIONS[LABELS[i]]} → {EMOTIONS[predicted[i]]}\n{confidence[i]:.0%}"
        )
    right = plots.mistakes(np.eye(7)[LABELS], LABELS, PIXELS, "made")
    assert right.get_suptitle().endswith(": none")


def test_samples_stand_in_the_row_of_their_class():
    faces = Faces(PIXELS, LABELS, np.zeros(60, np.uint8), "folder/made.csv")
    figure = plots.faces_by_class(faces, columns=4)
    images = shown_images(figure)
    assert len(images) == 7 * 4 and figure.get_suptitle() == "made.csv: samples by class"
    for label, name in enumerate(EMOTIONS):
        places = range(4 * label, 4 * label + 4)
        assert [figure.axes[place].get_title() for place in places] == [name, "", "", ""]
        shown = [images[place][0] for place in places if images[place]]
        assert len(shown) == min(4, (LABELS == label).sum())
        for image in shown:
            i = next(i for i in range(60) if np.array_equal(image, PIXELS[i]))
            assert LABELS[i] == label


def test_a_sheet_shows_each_image_in_its_place(tmp_path):
    """And the PNG shows every image at its own brightness, over the area of a place."""
    levels = [0, 255, None, 128, 60, 200, 30]
    images = [None if level is None else np.full((48, 48), level, np.uint8) for level in levels]
    figure = plots.sheet(images, [str(level) for level in levels], "levels", columns=3)
    plots.save(figure, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        size, seen = picture.size, np.asarray(picture.convert("L"))
    assert 0.6 < size[0] / size[1] < 1.0
    assert [axes.get_title() for axes in figure.axes] == [str(level) for level in levels] + ["", ""]
    for axes, image in zip(figure.axes, images):
        assert len(axes.images) == (image is not None)
        if image is not None:
            assert np.array_equal(axes.images[0].get_array(), image)
            assert axes.images[0].get_clim() == (0, 255)  # or every image would have full contrast
    area = (0.7 * 1.35 * plots.DOTS_PER_INCH) ** 2  # a place is 1.35 inches wide, borders included
    for level in (0, 30, 60, 128, 200):
        assert (seen == level).sum() > area, level


def test_heat_maps_lie_over_their_faces():
    maps = [RANDOM.uniform(size=(2, 48, 48)).astype(np.float32) for _ in range(2)]
    labels = [np.array([3, 0]), np.array([6, 4])]
    figure = plots.heat(PIXELS[:2], list(zip(maps, labels)), PROBABILITIES[:2], "made")
    images = shown_images(figure)
    for row in range(2):
        for column in range(3):
            place = images[3 * row + column]
            title = figure.axes[3 * row + column].get_title()
            assert np.array_equal(place[0], PIXELS[row])
            if column == 0:
                assert len(place) == 1 and title == "face"
                continue
            label = labels[column - 1][row]
            assert np.array_equal(place[1], maps[column - 1][row])
            assert title == f"{EMOTIONS[label]} {PROBABILITIES[row, label]:.0%}"


def test_a_failed_save_leaves_the_old_file(tmp_path):
    class Failing:
        def savefig(self, path, **_):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))

    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left") as failure:
        plots.save(Failing(), path)
    assert failure.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["figure.png"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["\u4eba\u8138.png", "\U0001f600.png", "a\u0645 $x$.png"])
def test_letters_that_the_font_lacks_are_escaped_without_a_warning(name, tmp_path):
    figure, axes = plots.create_figure(2, 1)
    axes.set_title(f"caf\u00e9 {name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save(figure, tmp_path / "a.png")
    shown = axes.get_title()
    assert shown.startswith("caf\u00e9 ") and shown.endswith(".png")
    assert ("\\u" in shown or "\\U" in shown) == ("\u4eba" in name)


def test_all_plots_of_an_evaluation_are_written(tmp_path):
    summary = {
        **metrics.summarize(PROBABILITIES, LABELS),
        "backbone": "tiny",
        "split": "PublicTest",
    }
    plots.save_plots(tmp_path / "plots", PROBABILITIES, LABELS, PIXELS, summary)
    written = {path.name for path in (tmp_path / "plots").iterdir()}
    assert written == {"confusion.png", "reliability.png", "mistakes.png"}
    for path in (tmp_path / "plots").iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300
