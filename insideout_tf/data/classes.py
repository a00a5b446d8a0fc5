"""The seven classes of FER2013. Every array of labels or probabilities uses their order."""

import difflib

from insideout_tf.errors import UserError

# The order of the labels 0..6 in fer2013.csv (Goodfellow et al. 2013, section 4).
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# Folder names in published copies of FER2013 and in similar data sets.
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
    """Returns the label of a class, an int 0..6.

    Args:
        name: a name of `EMOTIONS` or `VARIANTS`, or a digit 0..6, in any case.
        where: the file, folder or option with the name, for the message.

    Raises:
        UserError: an unknown name, with the nearest known one.
    """
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
