"""Different networks as one model, and what they know together in one network smaller than EfficientNetB2.

    python experiments/tools/ensemble.py runs/together.keras experiments/results/best_single/seed0/model.keras small
    python -m insideout_tf.evaluate runs/together.keras --data PATH/TO/fer2013.csv --split public
    python -m insideout_tf.train experiments/best_ensemble.py --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from experiments/results/best_single/seed0/model.keras --teacher experiments/results/best_single/seed0/model.keras --teacher small
    python -m insideout_tf.evaluate runs/best_ensemble --split private

The student is `best_single.py`'s, trained further: EfficientNetV2-B0, 5.9 million parameters (EfficientNetB2: 7.8). Seven
tenths of each label are what the two say together of the same view, each at its own size (Beyer et al. 2022, arXiv
2106.05237; that one of them is the student as it was makes it a born-again network, Furlanello et al. 2018, arXiv 1805.04770). Faces in unusual light are brought to
usual light inside the model, which costs that network nothing.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="best_ensemble",
        backbone="EfficientNetV2B0",
        image_size=128,
        standardize="outliers",
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
