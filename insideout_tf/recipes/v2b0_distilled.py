"""What EfficientNetV2-B0 and the packaged `small` know together, taught to the first.

    insideout train v2b0_distilled --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/v2b0_taught --teacher runs/v2b0_taught --teacher small
    insideout evaluate runs/v2b0_distilled --split private

`v2b0_taught.py`'s network, 5.9 million parameters (EfficientNetB2: 7.8), trained further. Seven tenths of each label
are what the two say together of the same view, each at its own size (Beyer et al. 2022, arXiv 2106.05237); that one of
them is the student as it was makes it a born-again network (Furlanello et al. 2018, arXiv 1805.04770). Faces in unusual
light are brought to usual light inside the model, which costs that network nothing.

Measured, one seed: PrivateTest 70.02 %, macro-F1 0.679; with flip averaging 70.30 %; 32 minutes on 2 cores after the
89 of `v2b0_taught.py`. README.md beside this file says how.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="v2b0_distilled",
        backbone="EfficientNetV2B0",
        image_size=128,
        standardize="outliers",
        dropout=0.3,
        split="official",
        batch_size=64,
        soft_label_weight=0.5,
        distillation_weight=0.7,
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
                "distil",
                epochs=5,
                learning_rate=3e-4,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.5,
            ),
        ),
    )
