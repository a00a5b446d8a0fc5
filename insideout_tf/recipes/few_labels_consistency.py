"""A tenth of Training's labels, and the other faces without theirs: semi-supervised learning.

    insideout train few_labels_consistency --data PATH/TO/fer2013.csv --start-from runs/few_labels

The run of `few_labels.py` trained further with all of Training's 28,709 faces in its batches. Where the network is
sure of a face that is hardly changed, it is held to that answer on a strongly changed view of it (Sohn et al. 2020,
FixMatch, arXiv 2001.07685). Its threshold of 0.95 is for clean labels; on FER2013's, few answers come to deserve so
much. `--set consistency_weight=1e-9` is the control: the same batches, taught by labels alone.

57.17 % of PublicTest, on which the epoch was chosen; 55.11 % by the control. PrivateTest was not asked.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="few_labels_consistency",
        backbone="CompactFERNano",
        weights="none",
        image_size=48,
        dropout=0.1,
        split="official",
        training_fraction=0.1,
        consistency_weight=1.0,
        consistency_threshold=0.8,
        batch_size=128,
        ema_decay=0.999,
        monitor="val_accuracy",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.08,
            shear_degrees=5.0,
            brightness=0.1,
            contrast=0.25,
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
        ),
        stages=(
            Stage(
                "train",
                epochs=12,
                learning_rate=0.02,
                optimizer="sgd",
                weight_decay=5e-3,
                clip_norm=5.0,
                schedule="cosine",
                warmup_epochs=1.0,
            ),
        ),
    )
