"""What a run was made from, as the tables of a page: data, stages, settings, environment."""

import dataclasses

from insideout_tf import config
from insideout_tf.data import splits
from insideout_tf.data.contract import FER2013
from insideout_tf.data.faces import USAGES


def describe_data(record):
    """Returns the audit of the data: parts by class, and a list of (name, value, kind)."""
    facts, environment = record.facts, record.environment
    summary = record.summary
    listed = [
        ("data", environment.get("data_source") or record.settings.get("data"), ""),
        ("recognised as", environment.get("data_identified") or "no published file", ""),
        ("digest", (summary.get("data_digest") or "")[:16], ""),
        (
            "evaluated faces that also trained",
            f"{summary['leaks']['n']:,} of {summary['n']:,}",
            "warning" if summary["leaks"]["n"] else "good",
        ),
    ]
    if summary.get("leaks_dropped") is not None:
        dropped = "yes" if summary["leaks_dropped"] else "no (--drop-leaks does)"
        listed.append(("copies of test faces kept out of training", dropped, ""))
    if facts is None:
        return {"facts": listed, "parts": None}
    copies, total = facts["duplicates"], sum(part["n"] for part in facts["usages"].values())
    listed += [
        ("faces", f"{total:,}, of {facts['side']}×{facts['side']} pixels", ""),
        ("distinct images", f"{copies['distinct']:,}", ""),
        *(
            (
                f"groups of identical images {place}",
                f"{copies[key]:,}, {copies[f'{key}_conflicting']:,} of them with different labels"
                if copies[key]
                else "none",
                "warning" if copies[key] else "good",
            )
            for key, place in (("groups_within", "in one part"), ("groups_across", "across parts"))
        ),
    ]
    if facts["blank"] is not None:
        kind = "warning" if facts["blank"] else "good"
        listed.append(("blank images", f"{facts['blank']:,}" if facts["blank"] else "none", kind))
    if facts["people"] is not None:
        shared = facts["people_in_two_usages"]
        text = f"{facts['people']:,}, {shared:,} of them in two parts"
        listed.append(("people", text, "warning" if shared else "good"))
    listed.append(
        (
            "bad rows or images excluded",
            f"{len(facts['skipped']):,}" if facts["skipped"] else "none",
            "",
        )
    )
    is_official = (facts["classes"], facts["side"]) == (list(FER2013.classes), FER2013.side)
    names = USAGES if is_official else ("train", splits.OWN_VALIDATION, "test")
    parts = {names[USAGES.index(usage)]: part for usage, part in facts["usages"].items()}
    return {"facts": listed, "parts": parts}


def list_stages(settings):
    """Returns the stages of the training: their names, and rows of (field, values) that are set."""
    stages = [each for each in settings.get("stages", []) if isinstance(each, dict)]
    defaults = {field.name: field.default for field in dataclasses.fields(config.Stage)}
    rows = []
    for key in dict.fromkeys(key for stage in stages for key in stage):
        values = [stage.get(key) for stage in stages]
        is_usual = all(value == defaults.get(key, dataclasses.MISSING) for value in values)
        if key not in ("name", "augmentation") and not is_usual:
            rows.append((key, [show_value(value) for value in values]))
    return {"names": [stage.get("name", "") for stage in stages], "rows": rows}


def list_settings(settings):
    """Returns (those that differ from the default, the others): lists of (name, value as text)."""
    defaults = flatten(
        {
            field.name: (
                field.default_factory()
                if field.default_factory is not dataclasses.MISSING
                else field.default
            )
            for field in dataclasses.fields(config.Experiment)
        }
    )
    changed: list = []
    usual: list = []
    for name, value in flatten(settings).items():
        if not name.startswith("stages."):
            is_usual = name in defaults and defaults[name] == value
            (usual if is_usual else changed).append((name, show_value(value)))
    return changed, usual


def list_environment(environment):
    """Returns environment.json as a list of (name, value as text)."""
    found = []
    for key, value in environment.items():
        if key == "command" and isinstance(value, list):
            value = " ".join(map(str, value))
        if key == "packages" and isinstance(value, dict):
            found += [(f"{name}", str(version)) for name, version in value.items()]
        elif key == "resumed" and isinstance(value, list):
            found.append(("resumed", f"{len(value)} times"))
        elif value is not None:
            found.append((key.replace("_", " "), show_value(value)))
    return found


def list_differences(settings):
    """Returns (name, [value of each as text]) of the names whose values are not all equal."""
    names = dict.fromkeys(name for each in settings for name in each)
    rows = [(name, [show_value(each.get(name, "")) for each in settings]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def flatten(values, prefix=""):
    """Returns nested settings as one dict: {"augmentation.flip": True}. Stages go by their names."""
    found = {}
    for key, value in values.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            value = {str(each.get("name", index)): each for index, each in enumerate(value)}
        if isinstance(value, dict):
            found.update(flatten(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return found


def show_value(value):
    """Returns a setting as text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(show_value, value)) or "none"
    return str(value)
