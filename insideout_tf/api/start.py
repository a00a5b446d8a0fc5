"""What a training begins with: the teachers of a distillation, and the weights of another run."""

from insideout_tf import files
from insideout_tf.data.contract import FER2013
from insideout_tf.errors import UserError
from insideout_tf.network.weights import load_model
from insideout_tf.serving import packaged


def load_teachers(experiment, scope):
    """Returns the teachers of a distillation, and a dict with their SHA-256 for environment.json."""
    if not experiment.distillation_weight:
        return (), {}
    if not experiment.teacher:
        raise UserError(
            "--teacher: expected a trained run or .keras file, since distillation_weight is "
            f"{experiment.distillation_weight:g}. Or set it to 0 (--set distillation_weight=0). "
            "Received: nothing"
        )
    paths = [packaged.model_path(name)[0] for name in experiment.teacher]
    sums = [files.sha256(path) for path in paths]
    from insideout_tf.training import fused

    with scope():
        teachers = tuple(fused.use_fused_batch_norm(load_model(path)) for path in paths)
    return teachers, {"teacher_sha256": sums}


def load_start(experiment, model, contract=FER2013):
    """Copies the weights that training starts from into `model`; returns the SHA-256 of their file.

    Where the classes differ, the head keeps its own weights for those that the start lacks.

    contract: the `Contract` of the faces that train.
    """
    from insideout_tf.network.weights import copy_weights

    path = packaged.model_path(experiment.start_from)[0]
    start = load_model(path)
    if not copy_weights(model, start, (contract.classes, start.contract.classes)):
        raise UserError(
            "--start-from: expected a model of the experiment's own network, "
            f"{experiment.backbone} with hidden_units {experiment.hidden_units} "
            f"({model.count_params():,} parameters), or of a part of it. Use the experiment that "
            "trained it, or change backbone and hidden_units with --set. "
            f"Received: {path}, another network, of {start.count_params():,} parameters"
        )
    return files.sha256(path)
