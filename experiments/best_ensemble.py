"""Different networks as one model, and what they know together in one network smaller than EfficientNetB2.

    python experiments/tools/ensemble.py runs/together.keras experiments/results/best_single/seed0/model.keras small nano
    python -m insideout_tf.evaluate runs/together.keras --data PATH/TO/fer2013.csv --split public
    python -m insideout_tf.train experiments/best_ensemble.py --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --teacher experiments/results/best_single/seed0/model.keras --teacher small --teacher nano
    python -m insideout_tf.evaluate runs/best_ensemble --split private

The student is `best_single.py`'s: EfficientNetV2-B0, 5.9 million parameters (EfficientNetB2: 7.8), the same augmentation and
schedule, so that what differs is the teacher. Seven tenths of each label are what the three say together of
the same view, each at its own size (Beyer et al. 2022, arXiv 2106.05237).

`--set weights=PATH` takes the ImageNet weights from a file where Keras cannot download them. Not measured yet.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="best_ensemble",
        backbone="EfficientNetV2B0",
        weights="imagenet",
        image_size=128,
        dropout=0.3,
        split="official",
        batch_size=64,
        vote_share=0.5,
        teacher_share=0.7,
        ema_decay=0.999,
        monitor="val_loss",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.08,
            shear_degrees=5.0,
            brightness=0.1,
            contrast=0.25,
            noise=0.05,
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
        ),
        stages=(
            Stage(
                "train",
                epochs=14,
                learning_rate=1e-3,
                image_size=96,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=1.0,
                final_fraction=0.3,
            ),
            Stage(
                "larger",
                epochs=8,
                learning_rate=3e-4,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.25,
            ),
        ),
    )
