import pytest

from insideout_tf.data.classes import EMOTIONS, VARIANTS, label_of
from insideout_tf.errors import UserError


def test_order_is_that_of_fer2013():
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def test_variants_in_any_case():
    for name, emotion in {**VARIANTS, **{e: e for e in EMOTIONS}}.items():
        for spelling in (name, name.upper(), f" {name.title()} "):
            assert EMOTIONS[label_of(spelling, "x")] == emotion
    assert [label_of(str(i), "x") for i in range(7)] == list(range(7))


def test_unknown_name_is_explained():
    with pytest.raises(UserError, match="folder: unknown class 'contempt'; expected one of angry"):
        label_of("contempt", "folder")
