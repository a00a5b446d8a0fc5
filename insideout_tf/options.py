"""Command-line options that several verbs share: how data are read."""

import argparse

READING = ("input_size", "channels", "classes", "skip_classes", "map_classes", "ferplus_labels")


def add_reading(group):
    """Adds the options of `data.reading.Reading` to an argparse parser or group."""
    group.add_argument(
        "--input-size",
        type=int,
        metavar="N",
        help="resize every face to N pixels a side (default: all have one size, which stays)",
    )
    group.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        help="1 grey levels, 3 colour (default: as the data)",
    )
    group.add_argument(
        "--classes",
        type=split_list,
        action=Join,
        default=(),
        metavar="A,B,...",
        help="what class folders or labels that are numbers mean, in their order",
    )
    group.add_argument(
        "--skip-classes",
        type=split_list,
        action=Join,
        default=(),
        metavar="A,B,...",
        help="exclude the faces of these classes",
    )
    group.add_argument(
        "--map",
        dest="map_classes",
        type=split_list,
        action=Join,
        default=(),
        metavar="A=B,...",
        help="give classes other names, such as joy=happy; two may become one",
    )
    group.add_argument(
        "--ferplus-labels",
        metavar="FILE",
        help="fer2013new.csv, for the published fer2013.csv: the majority of FER+'s annotators is the "
        "label, one of eight classes",
    )


def add_map(parser):
    """Adds --map of an evaluation, where classes of the data become classes of the model."""
    parser.add_argument(
        "--map",
        dest="map_classes",
        type=split_list,
        action=Join,
        default=(),
        metavar="A=B,...",
        help="which classes of --data are which of the model, such as bored=neutral (words that mean "
        "the same emotion match without it)",
    )


class Join(argparse.Action):
    """Joins the lists of an option that is given more than once; see `split_list`."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, (*(getattr(namespace, self.dest) or ()), *values))


def split_list(text):
    """Returns the texts between the commas of an option, a tuple."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def to_keywords(arguments):
    """Returns the options of `add_reading` as keywords of `data.read.read_faces`."""
    return {name: getattr(arguments, name) for name in READING}


def to_assignments(arguments):
    """Returns the options of `add_reading` that were given, as `--set` takes them."""
    import json

    values = {name: value for name, value in to_keywords(arguments).items() if value}
    return [
        f"{name}={json.dumps(list(value) if isinstance(value, tuple) else value)}"
        for name, value in values.items()
    ]
