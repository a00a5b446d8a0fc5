"""Annotated copies: enlarged where necessary, panels beside the faces, a timeline with gaps."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.photos import draw, labels, timeline

ROWS = np.full((2, 7), 1 / 7, np.float32)


@pytest.mark.parametrize(
    ("size", "scale"),
    [((48, 48), 8), ((100, 90), 4), ((360, 900), 1), ((4000, 3000), 1), ((10, 2000), 1)],
)
def test_scale_by_hand(size, scale):
    assert draw.choose_scale(size) == scale


def test_a_copy_has_boxes_and_panels_and_the_picture_stays():
    picture = Image.new("RGB", (800, 600), (40, 80, 120))
    boxes = [(50, 60, 150, 150), (500, 300, 100, 100)]
    copy = draw.draw_faces(picture, boxes, ROWS)
    assert copy.size == picture.size and copy.mode == "RGB"
    assert np.asarray(picture).std((0, 1)).max() == 0  # the original has no drawing
    changes = (np.asarray(copy) != np.asarray(picture)).any(2)
    for left, top, width, height in boxes:
        assert changes[top, left : left + width].all() and changes[top : top + height, left].all()
        inside = changes[top + 10 : top + height - 10, left + 10 : left + width - 10]
        assert not inside.any()  # the face stays visible


def draw_labels(frames, size, numbers=None):
    """Returns the frames of the labels of faces in an empty picture."""
    pencil = ImageDraw.Draw(Image.new("RGB", size), "RGBA")
    rows = np.tile(ROWS[0], (len(frames), 1))
    colours = [draw.colour_of(index, EMOTIONS) for index in range(7)]
    return labels.draw_labels(pencil, frames, size, 15, rows, EMOTIONS, numbers, colours)


def test_panels_where_there_is_room():
    frames = [labels.Frame(100, 100, 80, 80), labels.Frame(700, 100, 80, 80)]
    panels = draw_labels(frames, (1200, 900))
    assert all(panel.height > 5 * 15 for panel in panels)
    assert not panels[0].overlaps(panels[1])


@pytest.mark.parametrize("step", [62, 75, 100, 160])
def test_no_label_covers_another_face_or_label(step):
    """Near faces have one line each, and faces in a crowd at least their number or nothing."""
    frames = [
        labels.Frame(30 + step * column, 40 + step * row, 60, 60)
        for row in range(4)
        for column in range(6)
    ]
    places = draw_labels(frames, (1100, 760), list(range(len(frames))))
    assert sum(place is not None for place in places) > 0.8 * len(frames)
    for index, place in enumerate(places):
        if place is None:
            continue
        assert place.height < 2 * 15  # one line
        assert place.left >= 0 and place.left + place.width <= 1100
        for other, (frame, label) in enumerate(zip(frames, places)):
            if other != index:
                assert not place.overlaps(frame)
                assert label is None or not place.overlaps(label)


def test_a_picture_of_one_face_is_widened_by_its_panel():
    copy = draw.draw_faces(Image.new("L", (48, 48), 90), [None], ROWS[:1])
    assert copy.size[1] == 384 and copy.size[0] > 384 + 100
    with_scale = draw.draw_faces(Image.new("L", (48, 48), 90), [None], ROWS[:1], scale=8)
    assert with_scale.size == (384, 384)  # a video keeps the size of its frames


def test_sources_with_one_name_get_numbers(tmp_path):
    sources = ("a/One.png", "b/one.jpg", "webcam:0", "one", "odd\n.png")
    folder = draw.AnnotationFolder(tmp_path, sources)
    names = [output.path.name for output in folder.list_targets()]
    assert names == [
        "One-annotated.png",
        "one-annotated-2.png",
        "webcam-0-annotated.webm",
        "webcam-0-annotated-timeline.png",
        "one-annotated-3.png",
        "odd_-annotated.png",
    ]


def test_timeline_has_a_lane_for_each_person(tmp_path):
    lanes = timeline.Timeline()
    for frame in range(12):
        numbers = [0, 3] if frame not in (4, 5) else [0]
        lanes.append(frame, frame / 10, numbers, ROWS[: len(numbers)])
    assert lanes.choose() == [0, 3]
    times, rows = timeline.to_lines(lanes.lanes[3])
    assert len(times) == 11 and np.isnan(rows).any(1).sum() == 1  # one gap
    assert np.isnan(rows[4]).all() and times[4] == 0.6
    heights = []
    colours = [draw.colour_of(index, EMOTIONS) for index in range(7)]
    for count in (1, 30):
        many = timeline.Timeline()
        for frame in range(3):
            many.append(frame, frame / 10, list(range(count)), np.tile(ROWS[0], (count, 1)))
        timeline.write(tmp_path / f"{count}.png", many, 0.2, "a clip", colours)
        heights.append(Image.open(tmp_path / f"{count}.png").size[1])
    assert heights[0] < heights[1] < 2000
    timeline.write(tmp_path / "none.png", timeline.Timeline(), 0.2, "a clip", colours)


def test_classes_of_ones_own_have_colours_of_their_own():
    classes = ("angry", "happy", "bored", "contempt", "focused")
    colours = [draw.colour_of(index, classes) for index in range(5)]
    assert len(set(colours)) == 5 and colours[0] == draw.COLOURS["angry"]
    many = tuple(f"class {number}" for number in range(200))
    assert draw.colour_of(199, many) in draw.OTHER_COLOURS
