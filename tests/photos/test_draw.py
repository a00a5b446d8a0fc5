"""Annotated copies: enlarged where necessary, panels beside the faces, a timeline with gaps."""

import numpy as np
import pytest
from PIL import Image

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.photos import draw

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


def test_panels_do_not_overlap_where_there_is_room():
    boxes = [(100, 100, 80, 80), (185, 100, 80, 80)]
    panels: list = []
    pencil_picture = Image.new("RGB", (1200, 900))
    from PIL import ImageDraw

    pencil = ImageDraw.Draw(pencil_picture, "RGBA")
    for left, top, width, height in boxes:
        frame = (left, top, left + width, top + height)
        panels.append(draw._draw_panel(pencil, frame, (1200, 900), 20, ROWS[0], panels, EMOTIONS))
    assert not draw._overlap(*panels)


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
        "webcam-0-annotated.mp4",
        "webcam-0-annotated-timeline.png",
        "one-annotated-3.png",
        "odd_-annotated.png",
    ]


def test_timeline_with_a_gap(tmp_path):
    rows = np.full((5, 7), 1 / 7, np.float32)
    rows[2] = np.nan
    draw.write_timeline(tmp_path / "t.png", [0, 0.1, 0.2, 0.3, 0.4], rows, "a clip")
    assert Image.open(tmp_path / "t.png").size[0] > 800


def test_classes_of_ones_own_have_colours_of_their_own():
    classes = ("angry", "happy", "bored", "contempt", "focused")
    colours = [draw.colour_of(index, classes) for index in range(5)]
    assert len(set(colours)) == 5 and colours[0] == draw.COLOURS["angry"]
    many = tuple(f"class {number}" for number in range(200))
    assert draw.colour_of(199, many) in draw.OTHER_COLOURS
