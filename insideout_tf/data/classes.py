"""Class names: FER2013's seven emotions and their order, and how other words match them."""

import difflib
import re

from insideout_tf.errors import UserError

# The order of the labels 0..6 in fer2013.csv (Goodfellow et al. 2013, section 4).
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# Words for the same classes in published copies of FER2013 and in other data sets.
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
    "contemptuous": "contempt",
}


def canonical(name):
    """Returns the word by which the names of one class match: "Anger" and "1_angry" give "angry".

    Case, blanks around the name and a leading number do not matter, `-`, `_` and a blank are the same,
    and a word of `VARIANTS` becomes that of FER2013.
    """
    word = re.sub(r"[-_\s]+", " ", name.strip().casefold())
    word = re.sub(r"^\d+[ .]+(?=\D)", "", word)
    return VARIANTS.get(word, word)


def label_of(name, where, classes=EMOTIONS):
    """Returns the label of a class, an index into `classes`.

    Args:
        name: a name in `classes`, a word that matches one (see `canonical`), or its number.
        where: the file, folder or option with the name, for the message.
        classes: the names, in the order of the labels.

    Raises:
        UserError: an unknown name, with the nearest known one.
    """
    text = name.strip()
    if text in classes:
        return classes.index(text)
    word = canonical(name)
    words = [canonical(each) for each in classes]
    if word in words:
        return words.index(word)
    if text.isascii() and text.isdecimal() and int(text) < len(classes):
        return int(text)
    close = find_close(name, classes)
    hint = f" Did you mean {close!r}?" if close else ""
    raise UserError(
        f"{where}: unknown class {name!r}; expected one of {', '.join(classes[:20])}"
        f"{', ...' if len(classes) > 20 else ''} "
        f"(or a usual variant, in any case).{hint} Rename or remove it. Received: {name!r}"
    )


def find_close(name, classes=EMOTIONS):
    """Returns the known word that an unknown class name resembles, or None."""
    words = [*classes, *(key for key, value in VARIANTS.items() if value in classes)]
    return next(iter(difflib.get_close_matches(name.strip().lower(), words, n=1)), None)


def order_classes(names):
    """Returns the classes of a data set in their order, and a dict from each name to its class.

    FER2013's emotions come first, in its order, then the others by name.

    names: the names that the data use, each once. A name that means an emotion of FER2013 gets
    FER2013's word, unless two names mean the same one (such as "calm" and "neutral"): these stay.
    """
    words = [canonical(name) for name in names]
    settled = {
        name: word if word in EMOTIONS and words.count(word) == 1 else name
        for name, word in zip(names, words)
    }

    def rank(name):
        is_known = name in EMOTIONS
        return (0, EMOTIONS.index(name), ()) if is_known else (1, 0, natural_order(name.casefold()))

    return tuple(sorted(settled.values(), key=rank)), settled


def natural_order(text):
    """Returns a sort key that compares the numbers in a text by value."""
    return tuple(
        (0, int(word), "") if word.isdecimal() else (1, 0, word)
        for word in re.split(r"(\d+)", text)
        if word
    )


def match_classes(classes, known):
    """Returns the index in `known` of each name in `classes`, or -1, by words that mean the same.

    Each index is used once: the first name that matches has it.
    """
    words = [canonical(name) for name in known]
    taken: set[int] = set()
    found = []
    for name in classes:
        options = [i for i, each in enumerate(known) if each == name]
        options += [i for i, word in enumerate(words) if word == canonical(name)]
        index = next((i for i in options if i not in taken), -1)
        taken.add(index)
        found.append(index)
    return found
