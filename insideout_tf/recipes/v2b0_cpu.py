"""EfficientNetV2-B0 with ImageNet weights at 64 px, then 80 px, without a GPU.

    insideout train v2b0_cpu --data PATH/TO/fer2013.csv
    insideout evaluate runs/v2b0_cpu --split private

The recipe follows no paper. FER2013 has 48×48 pixels, so a small network at a small size gets most of the
information. The head learns for one epoch, then all layers for twelve at 64 px and for five at 80 px.
Training small and finishing large costs less than training large throughout (progressive learning, Tan & Le
2021, arXiv 2104.00298, section 4; FixRes, Touvron et al. 2019). Label smoothing, light augmentation with
erasing, and weights averaged over steps are on; class weights are off. Accuracy on PublicTest chooses the
epoch.

`--set weights=PATH` reads the ImageNet weights from a file if Keras cannot download them.

Measured, mean and standard deviation of three seeds: PrivateTest 69.19 % ± 0.85 %, macro-F1 0.662 ± 0.011;
with flips 69.97 %; 55 to 123 minutes each on 2 CPU cores. See experiments/RESULTS.md.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="v2b0_cpu",
        backbone="EfficientNetV2B0",
        weights="imagenet",
        image_size=64,
        dropout=0.3,
        split="official",
        batch_size=64,
        class_weight="none",
        label_smoothing=0.1,
        ema_decay=0.998,
        monitor="val_accuracy",
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
                epochs=12,
                learning_rate=1e-3,
                unfreeze_from="all",
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.5,
            ),
            Stage(
                "larger",
                epochs=5,
                learning_rate=5e-4,
                unfreeze_from="all",
                image_size=80,
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.25,
            ),
        ),
    )
