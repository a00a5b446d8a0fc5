"""The report page: what it shows of made runs of any classes, and what it never shows."""

import html.parser
import re

import numpy as np
import pytest

from insideout_tf.data import facts
from insideout_tf.data.faces import Faces
from insideout_tf.evaluation import charts, metrics, page, report, side_by_side

HOSTILE = ("<script>alert(1)</script>", '"onload=alert(1) \u202e', "</style><b>bold</b>")


def make_record(classes=("calm", "tense"), count=300, seed=0, name="made", **changes):
    """Returns a `page.Record` of made faces; one in three answers is wrong."""
    random = np.random.default_rng(seed)
    k = len(classes)
    labels = np.arange(count) % k
    pixels = np.random.default_rng(9).integers(0, 256, (2 * count, 20, 20), np.uint8)
    usage = np.repeat([0, 1], count).astype(np.uint8)
    both = np.concatenate([labels, labels]).astype(np.uint8)
    faces = Faces(pixels, both, usage, "made.npz", classes=tuple(classes))
    predicted = np.where(random.random(count) < 1 / 3, (labels + 1) % k, labels)
    logits = (
        random.normal(0, 0.3, (count, k)) + 3 * random.random((count, 1)) * np.eye(k)[predicted]
    )
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows = np.arange(count, 2 * count)
    told = {"split": "val", "experiment": name, "backbone": "tiny", "best_epoch": 3, **changes}
    history = [
        {
            "stage": "head" if epoch < 3 else "finetune",
            "epoch": epoch,
            **dict.fromkeys(("loss", "val_loss"), 2 / epoch),
            **dict.fromkeys(("accuracy", "clean_accuracy", "val_accuracy", "val_macro_f1"), 0.5),
        }
        for epoch in range(1, 6)
    ]
    return page.Record(
        name=name,
        path="",
        summary=report.summarize(faces, rows, probabilities, told),
        probabilities=probabilities,
        labels=labels,
        rows=rows,
        history=history,
        settings={"name": name, "seed": seed, "stages": [{"name": "head", "epochs": 2}]},
        environment={"command": ["train", name], "packages": {"keras": "3"}},
        faces=faces,
        facts=facts.examine(faces),
    )


class Outline(html.parser.HTMLParser):
    """Counts the elements of a page and checks that each one is closed."""

    EMPTY = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.counts, self.handlers = [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_shows_every_part_and_the_same_page_again():
    text = page.render([make_record()])
    assert text == page.render([make_record()]) and text.startswith(page.BEGIN)
    outline = Outline(text)
    for part in ("figures", "training", "confusion", "classes", "reliability", "mistakes", "data"):
        assert f'id="run-1-{part}"' in text, part
    summary = make_record().summary
    low, high = summary["intervals_95"]["accuracy"]
    assert f"{100 * summary['accuracy']:.1f}" in text
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f}" in text
    assert outline.counts["img"] == page.MAX_MISTAKES
    assert not re.search(r'(src|href)="(?!data:|#)', text) and "http" not in text.split("<body>")[1]


@pytest.mark.parametrize("count", [2, 3, 16, 17, 200])
def test_any_number_of_classes(count):
    classes = [f"class {index}" for index in range(count)]
    text = page.render([make_record(classes, 600)])
    outline = Outline(text)
    assert outline.counts["img"] == page.MAX_MISTAKES + (count > page.MAX_CELLS)
    assert all(f"{name}</th>" in text or f"{name} <span" in text for name in classes)
    assert len(text) < 400_000


def test_hostile_names_are_text():
    record = make_record(HOSTILE, name="<img src=x onerror=alert(1)>", selected_on="</p>")
    record.settings["data"] = record.environment["device"] = (
        "'\"><script>alert(1)</script>\x1b\udcff"
    )
    record.history[0]["stage"] = "<b>x"
    outline = Outline(page.render([record, make_record(HOSTILE, seed=1, name="\x00&amp;")]))
    assert outline.counts["script"] == 1 and outline.counts.get("b", 0) == 0
    assert outline.counts["style"] == 1 and outline.handlers == []
    assert "\udcff" not in page.render([record]) and "\x1b" not in page.render([record])


def test_empty_bins_are_not_drawn():
    probabilities = np.array([[0.95, 0.05]] * 40 + [[0.55, 0.45]] * 5)
    labels = np.array([0] * 38 + [1] * 7)
    count, confidence, right = metrics.calibration(probabilities, labels)
    intervals = [metrics.wilson_interval(round(n * r), n) for n, r in zip(count, right)]
    drawn = str(charts.draw_reliability(count, confidence, right, intervals))
    assert (count > 0).sum() == 2
    assert drawn.count("<circle") == drawn.count("<rect") == drawn.count("whisker") == 2
    assert drawn.count("few") == 1  # the bin with five faces


def test_wilson_intervals():
    """Against the values of Newcombe 1998, Two-sided confidence intervals, table I."""
    assert metrics.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert metrics.wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert metrics.wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert metrics.wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)


def test_mistakes_are_the_most_confident_ones_or_absent():
    record = make_record()
    shown = page.list_mistakes(record)
    chosen = [each["probability"] for each in shown]
    assert chosen == sorted(chosen, reverse=True)
    assert all(each["label"] != each["predicted"] for each in shown)
    record.faces = record.facts = None
    record.absence = "The data have gone."
    assert "The data have gone." in page.render([record])


def test_runs_are_paired_only_on_the_same_faces():
    first, second = make_record(), make_record(seed=1, name="other")
    (gain,) = side_by_side.list_gains([first, second])
    predicted = [each.probabilities.argmax(1) for each in (first, second)]
    assert gain["gains"] == metrics.paired_intervals(first.labels, *predicted)
    assert gain["obstacle"] == "" and 0 <= gain["p"] <= 1
    text = page.render([first, second])
    assert "no difference shown" in text and "Not compared" not in text
    for other, obstacle in (
        (make_record(("a", "b"), name="b"), "other classes"),
        (make_record(count=200, name="c"), "other data"),
    ):
        assert side_by_side.list_gains([first, other])[0]["obstacle"] == obstacle
        assert f"Not compared face by face: {obstacle}" in page.render([first, other])
    second.rows = second.rows[::-1]
    assert side_by_side.find_obstacle(first, second) == "other faces"


def test_a_gain_has_a_word():
    assert side_by_side.describe_gain([0.02, 0.01, 0.03], 0.001) == "better"
    assert side_by_side.describe_gain([-0.02, -0.03, -0.01], 0.001) == "worse"
    assert side_by_side.describe_gain([0.02, -0.01, 0.05], 0.2) == "no difference shown"


@pytest.mark.parametrize(
    "low, high, expected",
    [(0, 1, 6), (0.31, 0.34, 4), (0, 0, 2), (1, 17, 5), (0, 2.4, 6), (-3, 1e6, 7)],
)
def test_ticks_hold_the_values(low, high, expected):
    ticks = charts.choose_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= charts.MAX_STEPS + 2
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0]) and len(ticks) <= expected + 3


def test_gaps_in_a_history_are_gaps_in_its_curves():
    values = [1.0, float("nan"), 0.5, 0.4]
    drawn = str(charts.draw_lines([("loss", [1, 2, 3, 4], values, 0)], "loss"))
    assert drawn.count("<polyline") == 2 and drawn.count("<circle") == 3 and "nan" not in drawn
