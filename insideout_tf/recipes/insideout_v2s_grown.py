"""InsideOut on ImageNet weights grown from EfficientNetV2-B0's, without a GPU.

    python experiments/tools/grow_v2s.py efficientnetv2-b0_notop.weights.h5 v2s_grown.weights.h5 --data PATH/TO/fer2013.csv
    insideout train insideout_v2s_grown --data PATH/TO/fer2013.csv --set weights=v2s_grown.weights.h5
    insideout evaluate runs/insideout_v2s_grown --split private

EfficientNetV2-S, the light head, the class-weighted loss and the stratified part of Training are those of
arXiv 2510.03066. The ImageNet weights are those of the smaller EfficientNetV2-B0, widened and deepened to
V2-S's shape (experiments/tools/grow_v2s.py). 64 px instead of 224 is twelve times less work for each face. All
layers train from the second epoch on. Augmentation is light, since few epochs do not overfit. Class weights
are clipped: balanced ones would multiply the 436 faces of disgust by ten.

Measured, mean and standard deviation of three seeds: PrivateTest 66.84 % ± 0.27 %, macro-F1 0.643 ± 0.005; a
part of Training chose the epoch; 64 to 85 minutes each on 2 CPU cores. See experiments/RESULTS.md.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="insideout_v2s_grown",
        backbone="EfficientNetV2S",
        weights="v2s_grown.weights.h5",
        image_size=64,
        dropout=0.3,
        split="stratified",
        validation_fraction=0.125,
        batch_size=128,
        class_weight="clipped(0.5,2)",
        label_smoothing=0.1,
        ema_decay=0.995,
        monitor="val_macro_f1",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.08,
            brightness=0.1,
            contrast=0.2,
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
        ),
        stages=(
            Stage("head", epochs=1, learning_rate=2e-3, unfreeze_from=None, batch_norm="frozen"),
            Stage(
                "finetune",
                epochs=10,
                learning_rate=1e-3,
                unfreeze_from="all",
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.5,
            ),
        ),
    )
