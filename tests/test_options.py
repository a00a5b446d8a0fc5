"""Options that take lists."""

import pytest

from insideout_tf import export, inspect, options


@pytest.mark.parametrize(
    "parse, words, name, expected",
    [
        (export.parse, ["m", "--out", "o"], "format", None),
        (
            export.parse,
            ["m", "--out", "o", "--format", "onnx, litert", "--format", "savedmodel"],
            "format",
            ("onnx", "litert", "savedmodel"),
        ),
        (
            inspect.parse,
            ["d", "--skip-classes", "a", "--skip-classes", "b,c"],
            "skip_classes",
            ("a", "b", "c"),
        ),
        (inspect.parse, ["d", "--map", "joy=happy"], "map_classes", ("joy=happy",)),
        (inspect.parse, ["d"], "classes", ()),
    ],
)
def test_lists_with_commas_and_repeated_options_are_one(parse, words, name, expected):
    assert getattr(parse(words), name) == expected


def test_empty_parts_of_a_list_are_no_part():
    assert options.split_list(" a, ,b,") == ("a", "b")
