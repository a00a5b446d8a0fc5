"""Print the tables of insideout_tf/models/README.md, the card of the packaged models.

python experiments/tools/model_card.py
"""

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.serving import packaged

FILES = (".keras", ".tflite")


def main():
    """Prints the tables one after another."""
    tables = (file_table(), score_table(), class_table(), calibration_table())
    print("\n".join(line for table in tables for line in table))


def percent(value):
    """Returns a fraction as text in percent."""
    return f"{100 * value:.2f} %"


def file_table():
    """Yields the lines of a table: parameters, sizes and run of each model."""
    yield "| model | parameters | .keras | .tflite | run, in `experiments/RESULTS.md` |"
    yield "|---|---|---|---|---|"
    for name in packaged.names():
        facts = packaged.facts(name)
        sizes = " | ".join(f"{facts['bytes'][suffix] / 1e6:.2f} MB" for suffix in FILES)
        yield f"| `{name}` | {facts['parameters']:,} | {sizes} | `{facts['experiment']}` |"
    yield ""


def score_table():
    """Yields the lines of a table: accuracy and macro-F1 of each file with 95 % intervals."""
    yield "| file | PrivateTest | macro-F1 | PublicTest (chose the epoch) | macro-F1 |"
    yield "|---|---|---|---|---|"
    for name in packaged.names():
        evaluations = packaged.facts(name)["evaluations"]
        for suffix in FILES:
            cells = []
            for split in ("PrivateTest", "PublicTest"):
                scores = evaluations[f"{split} {suffix}"]
                for key, text in (("accuracy", percent), ("macro_f1", "{:.3f}".format)):
                    low, high = scores["intervals_95"][key]
                    interval = f"{100 * low:.2f}, {100 * high:.2f}"
                    if key == "macro_f1":
                        interval = f"{low:.3f}, {high:.3f}"
                    cells.append(f"{text(scores[key])} [{interval}]")
            yield f"| {name}{suffix} | " + " | ".join(cells) + " |"
    yield ""


def class_table():
    """Yields the lines of a table: PrivateTest's precision, recall and F1 by class."""
    yield "| PrivateTest | " + " | ".join(EMOTIONS) + " |"
    yield "|---|" + "---|" * len(EMOTIONS)
    for name in packaged.names():
        rows = packaged.facts(name)["evaluations"]["PrivateTest .keras"]["per_class"]
        for key in ("precision", "recall", "f1"):
            cells = " | ".join(f"{rows[each][key]:.3f}" for each in EMOTIONS)
            yield f"| {name}, {key} | {cells} |"
    yield ""


def calibration_table():
    """Yields the lines of a table: calibration error and log-likelihood without and with the temperature."""
    yield "| PrivateTest | temperature | calibration error | with it | log-likelihood | with it |"
    yield "|---|---|---|---|---|---|"
    for name in packaged.names():
        facts = packaged.facts(name)
        scores = facts["evaluations"]["PrivateTest .keras"]
        yield (
            f"| {name} | {facts['temperature']:.3f} | {scores['ece']:.3f} | "
            f"{scores['ece_calibrated']:.3f} | {-scores['nll']:.3f} | {-scores['nll_calibrated']:.3f} |"
        )
    yield ""


if __name__ == "__main__":
    main()
