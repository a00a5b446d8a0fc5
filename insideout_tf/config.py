"""An experiment as data: frozen dataclasses, strictly checked, one default for each field."""

import dataclasses
import json
import math

from insideout_tf import fields
from insideout_tf.fields import require, require_one_of, require_range


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random transforms of a training batch. The defaults change nothing.

    Flip, rotation, zoom, shift and shear form one affine map with the resize, so each pixel is
    interpolated once. Each face draws its own values.
    """

    flip: bool = False  # mirror a face with probability 0.5
    rotation_degrees: float = 0.0  # uniform in ±value
    zoom: tuple[float, float] = (1.0, 1.0)  # uniform from low to high; above 1 the face grows
    shift: float = 0.0  # uniform in ±value, fraction of the image side, each axis
    shear_degrees: float = 0.0  # uniform in ±value, each axis
    brightness: float = 0.0  # added; uniform in ±value, as a fraction of 255
    contrast: float = 0.0  # factor uniform in 1±value about the image mean
    blur: float = 0.0  # Gaussian; deviation uniform in 0..value, in pixels of the input face
    noise: float = 0.0  # normal; deviation uniform in 0..value, as a fraction of 255
    erasing_probability: float = 0.0  # of a rectangle of one grey level (Zhong et al. 2020)
    erasing_area: tuple[float, float] = (0.02, 0.2)  # uniform, fraction of the image
    mixup_alpha: float = 0.0  # Beta(alpha, alpha); 0 turns it off (Zhang et al. 2018, section 2)
    cutmix_alpha: float = 0.0  # the same (Yun et al. 2019, section 3.1)
    mix_probability: float = 1.0  # fraction of faces mixed with their neighbour in the batch
    keras_cv: tuple[str, ...] = ()  # KerasCV layers in tf.data: "RandAugment", ...

    def __post_init__(self):
        fields.check_types(self, "augmentation.")
        for name, high in (
            ("rotation_degrees", 180),
            ("shift", 1),
            ("shear_degrees", 45),
            ("brightness", 1),
            ("contrast", 1),
            ("blur", 10),
            ("noise", 1),
            ("erasing_probability", 1),
            ("mix_probability", 1),
            ("mixup_alpha", 100),
            ("cutmix_alpha", 100),
        ):
            require_range(f"augmentation.{name}", getattr(self, name), 0, high)
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
    """One stage of training: which layers learn, how, and for how many epochs."""

    name: str  # a short word, by which --set finds the stage
    epochs: int  # at most; patience may end the stage before
    learning_rate: float  # after the warm-up; at the start of a schedule
    unfreeze_from: str | None = "all"  # None: the head only; "all"; or a block
    image_size: int | None = None  # None: the experiment's; a smaller one saves time
    batch_norm: str = "train"  # or "frozen": inference mode, fixed statistics and scale
    optimizer: str = "adamw"  # "adamw" (Loshchilov & Hutter 2019), "adam" or "sgd" (Nesterov)
    weight_decay: float = 0.0  # decoupled; not for biases and normalisation
    momentum: float = 0.9  # of "sgd"
    clip_norm: float | None = None  # largest global norm of the gradient; None: no limit
    schedule: str = "constant"  # "constant", "cosine" (Loshchilov & Hutter 2017) or "plateau"
    warmup_epochs: float = 0.0  # linear rise of the learning rate from 0
    final_fraction: float = 0.0  # end of the cosine, as a fraction of learning_rate
    plateau_factor: float = 0.5  # of the learning rate, at each plateau
    plateau_patience: int = 3  # epochs without a better value before the factor
    patience: int | None = None  # epochs without a better value before the stage ends
    augmentation: Augmentation | None = None  # None: the experiment's; Augmentation(): none

    def __post_init__(self):
        fields.check_types(self, f"stage {self.name!r}: ")
        where = f"stage {self.name!r}: "
        own = self.augmentation.keras_cv if self.augmentation else ()
        require(
            not own,
            where + "augmentation.keras_cv",
            "nothing (KerasCV layers are set for the whole experiment)",
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
        require_one_of(where + "optimizer", self.optimizer, ("adamw", "adam", "sgd"))
        require_one_of(where + "schedule", self.schedule, ("constant", "cosine", "plateau"))
        require_one_of(where + "batch_norm", self.batch_norm, ("train", "frozen"))
        if self.image_size is not None:
            require_range(where + "image_size", self.image_size, 32, 1024)
        require_range(where + "weight_decay", self.weight_decay, 0, 1)
        require_range(where + "momentum", self.momentum, 0, 1)
        require_range(where + "final_fraction", self.final_fraction, 0, 1)
        require_range(where + "warmup_epochs", self.warmup_epochs, 0, self.epochs)
        require(
            self.optimizer != "adam" or self.weight_decay == 0,
            where + "weight_decay",
            "0 with 'adam' (decoupled decay is 'adamw')",
            self.weight_decay,
        )
        require(
            self.schedule != "plateau" or self.warmup_epochs == 0,
            where + "warmup_epochs",
            "0 with schedule 'plateau' (a warm-up needs a stage of its own)",
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
        require_range(where + "plateau_factor", self.plateau_factor, 0.001, 0.999)
        require(
            self.plateau_patience >= 1,
            where + "plateau_patience",
            "at least 1",
            self.plateau_patience,
        )


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that decides the result of a run, except the data itself.

    Raises `UserError` if a value has the wrong type or is not allowed.
    """

    name: str  # of the run folder, runs/NAME
    stages: tuple[Stage, ...]  # in the order of the training
    backbone: str = "EfficientNetV2B0"  # network/backbones.py lists them
    weights: str = "imagenet"  # "imagenet", "none", or a .weights.h5 or .h5 file
    start_from: str | None = None  # a trained run or model, with its head; or --start-from
    # Shares of the start's weights, mixed with the best ones at the end (Wortsman et al. 2022, arXiv
    # 2109.01903). The start is start_from if it knows all classes, else what the last stage began with.
    interpolation: tuple[float, ...] = ()
    image_size: int = 224  # pixels a side; the model resizes its input to them
    # Whose mean and standard deviation the model sets: "none", "all" faces, or only "outliers", which
    # it brings within the range of the training faces.
    standardize: str = "none"
    dropout: float = 0.5  # in the head
    stochastic_depth: float | None = None  # rate of the last residual branch; None: the backbone's
    hidden_units: int = 0  # of a hidden layer in the head; 0: none
    data: str | None = None  # a path, "drawn" or "kaggle:OWNER/DATASET"; or --data
    bad_rows: str = "stop"  # at a bad row or image, or "skip" them and list them
    input_size: int | None = None  # pixels a side of the model's faces; None: those of the data
    channels: int | None = None  # 1 grey, 3 colour; None: those of the data
    classes: tuple[str, ...] = ()  # names of classes that the data number; or --classes
    skip_classes: tuple[str, ...] = ()  # excluded from the data; or --skip-classes
    map_classes: tuple[str, ...] = ()  # such as "anger=angry"; or --map
    # "official" (the data's own parts), "stratified" (a part of Training), or "auto": official if the
    # data have a part for validation.
    split: str = "official"
    validation_fraction: float = 0.125  # of Training, with "stratified"
    folds: int | None = None  # parts of a cross-validation, which divide Training; or --folds
    fold: int | None = None  # the part that is the test, from 1 on
    training_fraction: float = 1.0  # of the training rows, each class in proportion
    shared_people: bool = False  # allow a person in two parts of the data
    drop_leaks: bool = False  # drop training faces that are pixel-identical to a test face
    batch_size: int = 64  # faces in a training step
    class_weight: str = "none"  # "none", "balanced", "clipped(0.5,2)"
    label_smoothing: float = 0.0  # Szegedy et al. 2016, section 7
    ferplus_labels: str | None = None  # fer2013new.csv, whose majority labels; or --ferplus-labels
    ferplus: str | None = None  # the FER+ file, fer2013new.csv; or --ferplus
    soft_label_weight: float = 0.0  # weight of the FER+ label distribution in a label
    teacher: tuple[str, ...] = ()  # runs, .keras files, packaged models; or --teacher
    distillation_weight: float = 0.0  # weight in a label of the teacher's probabilities
    consistency_weight: float = 0.0  # of the loss on pseudo-labels; 0 turns it off
    consistency_threshold: float = 0.95  # least probability of a pseudo-label
    # Of all stages that have none of their own.
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    precision: str = "auto"  # "auto", "float32", "mixed_float16", "mixed_bfloat16"
    ema_decay: float | None = None  # of averaged weights, per step; None: no average
    monitor: str = "val_macro_f1"  # chooses the best epoch; or "val_accuracy", "val_loss"
    # Where training faces are: "memory"; "device" memory; "files", decoded for each batch; or "auto".
    feed: str = "auto"
    distribution: str = "none"  # or "mirrored": all local devices share each batch
    jit_compile: str = "auto"  # "on", "off"; "auto": off on a CPU, except with JAX
    seed: int = 0  # of the weights, the order and the augmentation; or --seed
    split_seed: int | None = None  # divides training from validation faces; None: seed

    def __post_init__(self):
        fields.check_types(self, "")
        require(
            self.name.strip() and "/" not in self.name and not self.name.startswith("."),
            "name",
            "a name for the run's folder, without / and not beginning with a dot",
            self.name,
        )
        require(self.stages, "stages", "at least one stage", self.stages)
        names = [stage.name for stage in self.stages]
        require(len(set(names)) == len(names), "stages", "different names", names)
        require_one_of("bad_rows", self.bad_rows, ("stop", "skip"))
        require_one_of("split", self.split, ("official", "stratified", "auto"))
        require(self.channels in (None, 1, 3), "channels", "1, 3 or None", self.channels)
        require_one_of("standardize", self.standardize, ("none", "all", "outliers"))
        require_one_of(
            "precision", self.precision, ("auto", "float32", "mixed_float16", "mixed_bfloat16")
        )
        require_one_of("monitor", self.monitor, ("val_macro_f1", "val_accuracy", "val_loss"))
        require_one_of("feed", self.feed, ("auto", "memory", "device", "files"))
        require_one_of("distribution", self.distribution, ("none", "mirrored"))
        require_one_of("jit_compile", self.jit_compile, ("auto", "on", "off"))
        for name, low, high in (
            ("image_size", 32, 1024),
            ("input_size", 16, 1024),
            ("dropout", 0, 0.99),
            ("stochastic_depth", 0, 0.99),
            ("hidden_units", 0, 65536),
            ("validation_fraction", 0.001, 0.9),
            ("training_fraction", 0.001, 1),
            ("batch_size", 1, 65536),
            ("label_smoothing", 0, 0.99),
            ("soft_label_weight", 0, 1),
            ("distillation_weight", 0, 1),
            ("consistency_weight", 0, 1000),
            ("consistency_threshold", 0, 1),
            ("seed", 0, 2**31 - 1),
            ("split_seed", 0, 2**31 - 1),
            ("folds", 2, 10000),
            ("fold", 1, 10000),
            ("ema_decay", 0, 0.999999),
        ):
            if getattr(self, name) is not None:
                require_range(name, getattr(self, name), low, high)
        for share in self.interpolation:
            require(0 < share < 1, "interpolation", "shares above 0 and below 1", share)
        class_weight_rule(self.class_weight)
        self._check_combinations()

    def _check_combinations(self):
        """Raises `UserError` for values that are allowed alone and not together."""
        require(
            not (self.augmentation.keras_cv and self.feed == "device"),
            "feed",
            "'memory' when augmentation.keras_cv names layers of the tf.data path",
            self.feed,
        )
        require(
            not (self.distribution == "mirrored" and self.feed == "device"),
            "feed",
            "'memory' with distribution 'mirrored', which divides batches between devices",
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
        require(
            (self.fold is None) == (self.folds is None) and (self.fold or 0) <= (self.folds or 0),
            "fold",
            "both fold and folds, with fold at most folds, or neither",
            self.fold,
        )

    def size_of(self, stage):
        """Returns the pixels a side that the network sees in a stage."""
        return stage.image_size or self.image_size

    def augmentation_of(self, stage):
        """Returns the `Augmentation` of a stage."""
        return stage.augmentation or self.augmentation


def class_weight_rule(text):
    """Returns a class-weight rule as (name, arguments).

    text: "none", "balanced" or "clipped(min,max)". Raises `UserError` for any other text.
    """
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
    """Returns (name, numbers) of "name" or "name(number,number)". arity: {name: count of numbers}."""
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


# Fields in the runs of earlier releases: those with a new name, and those that were removed, with the
# value that has no effect.
RENAMED = {"vote_share": "soft_label_weight", "teacher_share": "distillation_weight"}
REMOVED = {
    "resize_first": False,
    "sharpness_radius": 0.0,
    "loss": "cross_entropy",
    "doubted_fraction": 0.0,
}


def from_saved(values, where):
    """Returns the `Experiment` of a run's config.json, of this release or an earlier one.

    values: as JSON gives them. where: the file, for messages. Raises `UserError` if a field is unknown
    or was removed, unless its value has no effect.
    """

    def update(value):
        if isinstance(value, list):
            return [update(item) for item in value]
        if not isinstance(value, dict):
            return value
        present = {key: item for key, item in value.items() if REMOVED.get(key, ...) != item}
        return {RENAMED.get(key, key): update(item) for key, item in present.items()}

    values = update(values)
    if isinstance(values, dict) and values.get("feed") == "host":
        values["feed"] = "memory"
    return from_dict(values, where=where)


def from_dict(values, where="experiment"):
    """Returns the `Experiment` of a dict of plain values, as `to_dict` gives them.

    where: the place of the dict, for messages. Raises `UserError` if a key is unknown or missing, or a
    value is not allowed.
    """
    return fields.from_dict(Experiment, values, where)
