"""Print the tables of insideout_tf/models/README.md, the card of the packaged models.

python experiments/tools/model_card.py
"""

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.serving import packaged

FILES = (".keras", ".tflite")


def main():
    tables = (file_table(), score_table(), class_table(), calibration_table())
    print("\n".join(line for table in tables for line in table))


def percent(value):
    return f"{100 * value:.2f} %"


def file_table():
    yield "| model | parameters | .keras | .tflite | run, in `experiments/RESULTS.md` |"
    yield "|---|---|---|---|---|"
    for name in packaged.names():
        facts = packaged.facts(name)
        sizes = " | ".join(f"{facts['bytes'][suffix] / 1e6:.2f} MB" for suffix in FILES)
        yield f"| `{name}` | {facts['parameters']:,} | {sizes} | `{facts['experiment']}` |"
    yield ""


def score_table():
    yield "| file | PrivateTest | macro-F1 | PublicTest (chose the epoch) | macro-F1 |"
    yield "|---|---|---|---|---|"
    for name in packaged.names():
        evaluations = packaged.facts(name)["judged"]
        for suffix in FILES:
            cells = []
            for split in ("PrivateTest", "PublicTest"):
                found = evaluations[f"{split} {suffix}"]
                for key, text in (("accuracy", percent), ("macro_f1", "{:.3f}".format)):
                    low, high = found["intervals_95"][key]
                    interval = f"{100 * low:.2f}, {100 * high:.2f}"
                    if key == "macro_f1":
                        interval = f"{low:.3f}, {high:.3f}"
                    cells.append(f"{text(found[key])} [{interval}]")
            yield f"| {name}{suffix} | " + " | ".join(cells) + " |"
    yield ""


def class_table():
    yield "| PrivateTest | " + " | ".join(EMOTIONS) + " |"
    yield "|---|" + "---|" * len(EMOTIONS)
    for name in packaged.names():
        rows = packaged.facts(name)["judged"]["PrivateTest .keras"]["per_class"]
        for key in ("precision", "recall", "f1"):
            cells = " | ".join(f"{rows[each][key]:.3f}" for each in EMOTIONS)
            yield f"| {name}, {key} | {cells} |"
    yield ""


def calibration_table():
    yield "| PrivateTest | temperature | calibration error | with it | log-likelihood | with it |"
    yield "|---|---|---|---|---|---|"
    for name in packaged.names():
        facts = packaged.facts(name)
        found = facts["judged"]["PrivateTest .keras"]
        yield (
            f"| {name} | {facts['temperature']:.3f} | {found['ece']:.3f} | "
            f"{found['ece_calibrated']:.3f} | {-found['nll']:.3f} | {-found['nll_calibrated']:.3f} |"
        )
    yield ""


if __name__ == "__main__":
    main()
