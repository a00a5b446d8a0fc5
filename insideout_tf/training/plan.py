"""The plan of a run as text: data, stages, device and memory."""

import math

from insideout_tf import devices
from insideout_tf.data import batches, people
from insideout_tf.network.build import freeze_layers

GPU_SIZE = 128  # pixels a side from which a recipe is made for a GPU
NO_GPU = (
    "this recipe expects a GPU: at {} px an epoch takes hours on a processor. Recipes for one: "
    "v2b0_cpu, or --image-size 64"
)


def describe_plan(job, model):
    """Returns the plan of a run as text.

    It names the network, the device, the data, the trainable parameters of each stage and an estimate
    of the memory.

    Args:
        job: the `stages.Job`.
        model: the network of any stage, since only the activations depend on the image size. Its
            layers are frozen as in the last stage afterwards.
    """
    experiment, faces, split = job.experiment, job.faces, job.split
    steps = batches.steps_per_epoch(len(job.arrays["image"]), experiment.batch_size)
    unlabelled = int((job.arrays["weight"] == 0).sum())
    largest = max(map(experiment.size_of, experiment.stages))
    lacks_gpu = devices.accelerator() == "cpu" and largest >= GPU_SIZE
    lines = [
        f"{experiment.name}: {experiment.backbone}, {model.count_params():,} parameters, weights "
        f"{experiment.start_from or experiment.weights}, {job.precision.name}",
        f"  device    {devices.describe_devices()}",
        *([f"  note      {NO_GPU.format(largest)}"] if lacks_gpu else []),
        f"  data      {faces.source}" + (f" ({faces.identified})" if faces.identified else ""),
        f"  faces     {faces.contract.describe()}, {describe_classes(faces.classes)}",
        *describe_people(faces),
        f"  training  {len(split.training):,} faces"
        + (f" and {unlabelled:,} without labels" if unlabelled else "")
        + (f" ({len(split.leaks):,} leaks dropped)" if experiment.drop_leaks else "")
        + f", {steps} steps of {experiment.batch_size} an epoch",
        *(
            [f"  skipped   {len(faces.skipped):,} bad rows, images or classes"]
            if faces.skipped
            else []
        ),
        f"  selection {len(split.validation):,} faces ({split.validation_name}), best "
        f"{experiment.monitor}",
    ]
    most_trainable = 0
    for stage in experiment.stages:
        freeze_layers(model, stage, experiment.backbone)
        trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        most_trainable = max(most_trainable, trainable)
        lines.append(
            f"  stage {stage.name}: {stage.epochs} epochs at {experiment.size_of(stage)} px, "
            f"{trainable:,} trainable parameters, {stage.optimizer} {stage.learning_rate:g}, "
            f"{stage.schedule}"
        )
    mebibytes = estimate_memory(job, model, most_trainable) / 2**20
    lines.append(
        f"  memory    about {mebibytes:,.0f} MiB for weights, optimizer and activations (estimate)"
    )
    return "\n".join(lines)


def describe_people(faces):
    """Returns a line on the people in a list; an empty list if the data do not tell them."""
    known, shared = people.count_people(faces)
    if known is None:
        return []
    return [f"  people    {known:,}" + (f", {shared:,} of them in two parts" if shared else "")]


def describe_classes(classes, most=10):
    """Returns the classes as text, such as "3 classes: angry, happy, sad"."""
    shown = ", ".join(classes[:most]) + (", ..." if len(classes) > most else "")
    return f"{len(classes)} classes: {shown}"


def estimate_memory(job, model, trainable):
    """Returns an estimate of the bytes that training takes.

    It counts the weights twice; gradients, two moments and the average of the `trainable` parameters;
    and the activations of a batch, forward and backward.
    """
    experiment = job.experiment
    outputs = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    largest = max(map(experiment.size_of, experiment.stages))
    outputs *= (largest / model.get_layer("resize").height) ** 2
    width = 4 if job.precision.policy == "float32" else 2
    weights = 4 * (2 * model.count_params() + 4 * trainable)
    return weights + outputs * experiment.batch_size * width * 2
