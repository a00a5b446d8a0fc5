"""Class names: their order, their variants, and the nearest name for a typing error."""

import pytest

from insideout_tf.data.classes import EMOTIONS, VARIANTS, label_of
from insideout_tf.errors import UserError


def test_order_of_the_labels():
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def test_variants_and_digits_in_any_case():
    assert {*VARIANTS.values()} - {*EMOTIONS} == {"contempt"}
    known = {name: emotion for name, emotion in VARIANTS.items() if emotion in EMOTIONS}
    for name, emotion in {**known, **{e: e for e in EMOTIONS}}.items():
        for spelling in (name, name.upper(), f" {name.title()} "):
            assert EMOTIONS[label_of(spelling, "x")] == emotion
    assert [label_of(str(i), "x") for i in range(7)] == list(range(7))


def test_unknown_names():
    with pytest.raises(UserError, match="folder: unknown class 'contempt'; expected one of angry"):
        label_of("contempt", "folder")
    for name, nearest in (("hapyness", "happiness"), ("Sadd", "sad"), ("7", None), ("", None)):
        with pytest.raises(UserError) as error:
            label_of(name, "folder")
        assert ("Did you mean" in str(error.value)) == (nearest is not None)
        assert nearest is None or f"Did you mean {nearest!r}?" in str(error.value)
