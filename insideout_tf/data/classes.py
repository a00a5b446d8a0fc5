"""The seven FER2013 classes in the order of their labels; every array of scores uses this order."""

import difflib

from insideout_tf.errors import UserError

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# Folder names met in published copies of FER2013 and in its relatives.
VARIANTS = {
    "anger": "angry",
    "disgusted": "disgust",
    "disgusting": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "suprise": "surprise",
    "neutrality": "neutral",
    "calm": "neutral",
}


def label_of(name, where):
    """Returns the label 0..6 of a class name or digit, in any case, or raises `UserError` naming `where`."""
    word = name.strip().lower()
    if word in tuple("0123456"):
        return int(word)
    word = VARIANTS.get(word, word)
    if word in EMOTIONS:
        return EMOTIONS.index(word)
    close = difflib.get_close_matches(word, [*EMOTIONS, *VARIANTS], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(
        f"{where}: unknown class {name!r}; expected one of {', '.join(EMOTIONS)} "
        f"(or a usual variant, in any case).{hint} Rename or remove it. Received: {name!r}"
    )
