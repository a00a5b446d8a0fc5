"""An experiment as data: frozen dataclasses, strictly checked, one default for each field."""

import dataclasses
import difflib
import json
import math
import types
import typing

from insideout_tf.errors import UserError


class FieldError(UserError):
    """A field of an experiment has a value that is not allowed.

    field: where it is, such as "batch_size" or "stage 'train': epochs". expected: the allowed values.
    """

    def __init__(self, field, expected, received):
        super().__init__(
            f"{field}: expected {expected}. Change it in the experiment file or with "
            f"--set. Received: {received!r}"
        )
        self.field, self.expected = field, expected


def require(condition, name, expected, received):
    """Raises `FieldError` about the field `name` unless the condition holds."""
    if not condition:
        raise FieldError(name, expected, received)


def _one_of(name, value, choices):
    require(value in choices, name, "one of " + ", ".join(map(repr, choices)), value)


def _in_range(name, value, low, high):
    ok = low <= value <= high and math.isfinite(value)
    require(ok, name, f"a number from {low:g} to {high:g}", value)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random transforms of a training batch; the defaults change nothing.

    Geometry composes into one affine map with the resize, so each pixel is interpolated once.
    """

    flip: bool = False
    rotation_degrees: float = 0.0  # uniform in ±value
    zoom: tuple[float, float] = (1.0, 1.0)  # uniform magnification; above 1 the face grows
    shift: float = 0.0  # uniform in ±value, fraction of the image side, each axis
    shear_degrees: float = 0.0  # uniform in ±value, each axis
    brightness: float = 0.0  # added, uniform in ±value of the full range 255
    contrast: float = 0.0  # factor uniform in 1±value about the image mean
    blur: float = 0.0  # Gaussian, its deviation uniform in 0..value, in pixels of the 48
    noise: float = 0.0  # normal, its deviation uniform in 0..value, of the full range 255
    erasing_probability: float = 0.0
    erasing_area: tuple[float, float] = (0.02, 0.2)  # fraction of the image
    mixup_alpha: float = 0.0  # Beta(alpha, alpha); 0 turns it off (Zhang et al. 2018, section 2)
    cutmix_alpha: float = 0.0  # likewise (Yun et al. 2019, section 3.1)
    mix_probability: float = 1.0  # of the faces, each with its neighbour in the batch
    keras_cv: tuple[str, ...] = ()  # KerasCV layers of the tf.data path: "RandAugment", ...

    def __post_init__(self):
        _settle_types(self, "augmentation.")
        _in_range("augmentation.rotation_degrees", self.rotation_degrees, 0, 180)
        _in_range("augmentation.shift", self.shift, 0, 1)
        _in_range("augmentation.shear_degrees", self.shear_degrees, 0, 45)
        _in_range("augmentation.brightness", self.brightness, 0, 1)
        _in_range("augmentation.contrast", self.contrast, 0, 1)
        _in_range("augmentation.blur", self.blur, 0, 10)
        _in_range("augmentation.noise", self.noise, 0, 1)
        _in_range("augmentation.erasing_probability", self.erasing_probability, 0, 1)
        _in_range("augmentation.mix_probability", self.mix_probability, 0, 1)
        _in_range("augmentation.mixup_alpha", self.mixup_alpha, 0, 100)
        _in_range("augmentation.cutmix_alpha", self.cutmix_alpha, 0, 100)
        require(
            0.1 <= self.zoom[0] <= self.zoom[1] <= 10,
            "augmentation.zoom",
            "(low, high) with 0.1 <= low <= high <= 10",
            self.zoom,
        )
        require(
            0 < self.erasing_area[0] <= self.erasing_area[1] <= 1,
            "augmentation.erasing_area",
            "(low, high) with 0 < low <= high <= 1",
            self.erasing_area,
        )


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of training: what learns, how, and for how long."""

    name: str
    epochs: int
    learning_rate: float
    unfreeze_from: str | None = "all"  # None: the head alone; "all"; or a block of the backbone
    image_size: int | None = None  # None: the experiment's; smaller ones early save time
    batch_norm: str = "train"  # "train", or "frozen": inference mode, statistics and scale fixed
    optimizer: str = "adamw"  # "adamw" (Loshchilov & Hutter 2019), "adam", "sgd" (Nesterov)
    weight_decay: float = 0.0  # decoupled; skips biases and normalisation
    momentum: float = 0.9  # of "sgd"
    clip_norm: float | None = None  # global norm of the gradient
    schedule: str = "constant"  # "constant", "cosine" (Loshchilov & Hutter 2017) or "plateau"
    warmup_epochs: float = 0.0  # linear, from zero
    final_fraction: float = 0.0  # where the cosine ends, as a fraction of learning_rate
    plateau_factor: float = 0.5
    plateau_patience: int = 3  # epochs without a better monitored value before the factor
    patience: int | None = None  # epochs without a better monitored value before the stage ends
    augmentation: Augmentation | None = None  # None: the experiment's; Augmentation() turns it off

    def __post_init__(self):
        _settle_types(self, f"stage {self.name!r}: ")
        where = f"stage {self.name!r}: "
        own = self.augmentation.keras_cv if self.augmentation else ()
        require(
            not own,
            where + "augmentation.keras_cv",
            "nothing (KerasCV layers are the whole experiment's)",
            own,
        )
        require(self.name and "/" not in self.name, "stage name", "a short word", self.name)
        require(self.epochs >= 1, where + "epochs", "at least 1", self.epochs)
        require(
            self.learning_rate > 0 and math.isfinite(self.learning_rate),
            where + "learning_rate",
            "a positive number",
            self.learning_rate,
        )
        _one_of(where + "optimizer", self.optimizer, ("adamw", "adam", "sgd"))
        _one_of(where + "schedule", self.schedule, ("constant", "cosine", "plateau"))
        _one_of(where + "batch_norm", self.batch_norm, ("train", "frozen"))
        if self.image_size is not None:
            _in_range(where + "image_size", self.image_size, 32, 1024)
        _in_range(where + "weight_decay", self.weight_decay, 0, 1)
        _in_range(where + "momentum", self.momentum, 0, 1)
        _in_range(where + "final_fraction", self.final_fraction, 0, 1)
        _in_range(where + "warmup_epochs", self.warmup_epochs, 0, self.epochs)
        require(
            self.optimizer != "adam" or self.weight_decay == 0,
            where + "weight_decay",
            "0 with 'adam' (decoupled decay is 'adamw')",
            self.weight_decay,
        )
        require(
            self.schedule != "plateau" or self.warmup_epochs == 0,
            where + "warmup_epochs",
            "0 with schedule 'plateau' (give the warm-up a stage of its own)",
            self.warmup_epochs,
        )
        require(
            self.clip_norm is None or self.clip_norm > 0,
            where + "clip_norm",
            "a positive number or None",
            self.clip_norm,
        )
        require(
            self.patience is None or self.patience >= 1,
            where + "patience",
            "at least 1, or None",
            self.patience,
        )
        _in_range(where + "plateau_factor", self.plateau_factor, 0.001, 0.999)
        require(
            self.plateau_patience >= 1,
            where + "plateau_patience",
            "at least 1",
            self.plateau_patience,
        )


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that decides the result of a run, apart from the data itself."""

    name: str
    stages: tuple[Stage, ...]
    backbone: str = "EfficientNetV2B0"
    weights: str = "imagenet"  # "imagenet", "none", or the path of a .weights.h5 or .h5 file
    start_from: str | None = None  # a trained run or model, head and all; --start-from overrides it
    image_size: int = 224  # pixels; the resize from 48 is inside the model
    standardize: str = (
        "none"  # light and contrast inside the model: of "all" faces, or of "outliers"
    )
    dropout: float = 0.5
    stochastic_depth: float | None = None  # rate of the last residual branch; None: the backbone's
    hidden_units: int = 0  # width of an optional hidden layer of the head
    data: str | None = None  # a path, "drawn", or "kaggle:OWNER/DATASET"; --data overrides it
    bad_rows: str = "stop"  # at the first bad row or image of the data, or "skip" and list them
    split: str = "official"  # "official" or "stratified"
    validation_fraction: float = 0.125  # of Training, for "stratified"
    training_fraction: float = 1.0  # of what the split leaves to train on, each class in proportion
    drop_leaks: bool = False
    batch_size: int = 64
    class_weight: str = "none"  # "none", "balanced", "clipped(0.5,2)"
    label_smoothing: float = 0.0  # Szegedy et al. 2016, section 7
    ferplus: str | None = None  # the file of FER+ votes, fer2013new.csv; --ferplus overrides it
    soft_label_weight: float = 0.0  # of the label, taken from the FER+ votes instead of FER2013
    teacher: tuple[str, ...] = ()  # runs, .keras files, packaged models; --teacher overrides it
    distillation_weight: float = (
        0.0  # of the label, taken from what the teacher says of the same view
    )
    consistency_weight: float = 0.0  # of the loss on pseudo-labels; 0: off
    consistency_threshold: float = 0.95  # the least probability that makes a pseudo-label
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    precision: str = "auto"  # "auto", "float32", "mixed_float16", "mixed_bfloat16"
    ema_decay: float | None = None  # per step; None keeps the raw weights
    monitor: str = "val_macro_f1"  # chooses the best epoch: or "val_accuracy", "val_loss"
    feed: str = "auto"  # "memory", "device" (the data set lives in device memory), "auto"
    distribution: str = "none"  # "none", or "mirrored": each batch shared by all local devices
    jit_compile: str = "auto"  # "on", "off", "auto": off for TensorFlow on a CPU, which loses by it
    seed: int = 0
    split_seed: int | None = None  # draws which faces train and which validate; None: seed does

    def __post_init__(self):
        _settle_types(self, "")
        require(self.stages, "stages", "at least one stage", self.stages)
        names = [stage.name for stage in self.stages]
        require(len(set(names)) == len(names), "stages", "different names", names)
        _one_of("bad_rows", self.bad_rows, ("stop", "skip"))
        _one_of("split", self.split, ("official", "stratified"))
        _one_of("standardize", self.standardize, ("none", "all", "outliers"))
        _one_of("precision", self.precision, ("auto", "float32", "mixed_float16", "mixed_bfloat16"))
        _one_of("monitor", self.monitor, ("val_macro_f1", "val_accuracy", "val_loss"))
        _one_of("feed", self.feed, ("auto", "memory", "device"))
        _one_of("distribution", self.distribution, ("none", "mirrored"))
        _one_of("jit_compile", self.jit_compile, ("auto", "on", "off"))
        _in_range("image_size", self.image_size, 32, 1024)
        _in_range("dropout", self.dropout, 0, 0.99)
        if self.stochastic_depth is not None:
            _in_range("stochastic_depth", self.stochastic_depth, 0, 0.99)
        _in_range("hidden_units", self.hidden_units, 0, 65536)
        _in_range("validation_fraction", self.validation_fraction, 0.001, 0.9)
        _in_range("training_fraction", self.training_fraction, 0.001, 1)
        _in_range("batch_size", self.batch_size, 1, 65536)
        _in_range("label_smoothing", self.label_smoothing, 0, 0.99)
        _in_range("soft_label_weight", self.soft_label_weight, 0, 1)
        _in_range("distillation_weight", self.distillation_weight, 0, 1)
        _in_range("consistency_weight", self.consistency_weight, 0, 1000)
        _in_range("consistency_threshold", self.consistency_threshold, 0, 1)
        _in_range("seed", self.seed, 0, 2**31 - 1)
        if self.split_seed is not None:
            _in_range("split_seed", self.split_seed, 0, 2**31 - 1)
        if self.ema_decay is not None:
            _in_range("ema_decay", self.ema_decay, 0, 0.999999)
        require(
            not (self.augmentation.keras_cv and self.feed == "device"),
            "feed",
            "'memory' when augmentation.keras_cv names layers of the tf.data path",
            self.feed,
        )
        require(
            not (self.distribution == "mirrored" and self.feed == "device"),
            "feed",
            "'memory' with distribution 'mirrored', whose batches are shared out on the way",
            self.feed,
        )
        mixing = [
            a for a in map(self.augmentation_of, self.stages) if a.mixup_alpha or a.cutmix_alpha
        ]
        require(
            not (self.consistency_weight and mixing),
            "consistency_weight",
            "0 with mixup_alpha or cutmix_alpha, since a mixed face has no pseudo-label",
            self.consistency_weight,
        )
        class_weight_rule(self.class_weight)

    def size_of(self, stage):
        """Returns the pixels a side that the network sees in one of the stages."""
        return stage.image_size or self.image_size

    def augmentation_of(self, stage):
        """Returns the `Augmentation` of one of the stages."""
        return stage.augmentation or self.augmentation


def class_weight_rule(text):
    """Parses a class-weight rule into (name, arguments); raises `UserError` for any other text."""
    choices = "'none', 'balanced' or 'clipped(min,max)'"
    arity = {"none": 0, "balanced": 0, "clipped": 2}
    name, arguments = _rule("class_weight", text, arity, choices)
    if name == "clipped":
        require(
            0 < arguments[0] <= arguments[1],
            "class_weight",
            "clipped(min,max) with 0 < min <= max",
            text,
        )
    return name, arguments


def _rule(field, text, arity, choices):
    """Parses "name" or "name(number,number)"; arity: how many numbers each name takes."""
    name, _, rest = text.replace(" ", "").partition("(")
    require(name in arity and (rest == "" or rest.endswith(")")), field, choices, text)
    try:
        arguments = tuple(float(part) for part in rest[:-1].split(",")) if rest else ()
    except ValueError:
        arguments = (math.nan,)
    require(
        len(arguments) == arity[name] and all(map(math.isfinite, arguments)), field, choices, text
    )
    return name, arguments


def to_dict(experiment):
    """Returns plain dicts, lists and scalars that `from_dict` turns back into an equal experiment."""
    return json.loads(json.dumps(dataclasses.asdict(experiment)))


# Fields of runs that earlier releases saved: new names, and fields that are gone (value: what
# they held where they changed nothing).
RENAMED = {"vote_share": "soft_label_weight", "teacher_share": "distillation_weight"}
REMOVED = {
    "resize_first": False,
    "sharpness_radius": 0.0,
    "loss": "cross_entropy",
    "doubted_fraction": 0.0,
}


def from_saved(values, where):
    """Builds an `Experiment` from the config.json of a run, of this release or an earlier one."""

    def update(value):
        if isinstance(value, list):
            return [update(item) for item in value]
        if not isinstance(value, dict):
            return value
        kept = {key: item for key, item in value.items() if REMOVED.get(key, ...) != item}
        return {RENAMED.get(key, key): update(item) for key, item in kept.items()}

    values = update(values)
    if isinstance(values, dict) and values.get("feed") == "host":
        values["feed"] = "memory"
    return from_dict(values, where=where)


def from_dict(values, kind=Experiment, where="experiment"):
    """Builds a dataclass from plain values; an unknown key or a wrong type raises `UserError`."""
    require(isinstance(values, dict), where, f"the fields of {kind.__name__}", values)
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise UserError(
                f"{where}: unknown field {key!r}.{hint(key, hints)} Valid fields: "
                f"{', '.join(hints)}. Received: {key!r}"
            )
    missing = [
        field.name
        for field in dataclasses.fields(kind)
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    require(not missing, where, f"a value for {', '.join(missing)}", sorted(values))
    return kind(**values)


def _settle_types(instance, where):
    """Checks every field against its annotation (dataclasses check none), lists becoming tuples."""
    for key, hint in typing.get_type_hints(type(instance)).items():
        value = _convert(getattr(instance, key), hint, where + key)
        object.__setattr__(instance, key, value)


def _convert(value, hint, where):
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        hint = next(arm for arm in typing.get_args(hint) if arm is not types.NoneType)
        origin = typing.get_origin(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(value, hint, where)
    if origin is tuple:
        require(isinstance(value, (list, tuple)), where, "a list", value)
        arms = typing.get_args(hint)
        if arms[-1] is Ellipsis:
            return tuple(
                _convert(item, arms[0], f"{where}.{index}") for index, item in enumerate(value)
            )
        require(len(value) == len(arms), where, f"{len(arms)} values", value)
        return tuple(
            _convert(item, arm, f"{where}.{index}")
            for index, (item, arm) in enumerate(zip(value, arms))
        )
    if hint is float and type(value) is int:
        return float(value)
    require(type(value) is hint, where, f"a value of type {hint.__name__}", value)
    return value


def field_names(kind):
    """Returns the names of a dataclass's fields, in their order."""
    return [field.name for field in dataclasses.fields(kind)]


def nearest(name, choices):
    """Returns the one of the choices that is spelt nearest to `name`, or None if none is near."""
    close = difflib.get_close_matches(name, choices, n=1)
    return close[0] if close else None


def hint(name, choices):
    """Returns " Did you mean 'NEAREST'?", or "" if no choice is near."""
    close = nearest(name, choices)
    return f" Did you mean {close!r}?" if close else ""
