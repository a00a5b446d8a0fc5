"""InsideOut: EfficientNetV2-S with ImageNet weights, mostly frozen (arXiv 2510.03066).

    insideout train insideout_v2s --data PATH/TO/fer2013.csv
    insideout evaluate runs/insideout_v2s --split private

The paper gives: EfficientNetV2-S with ImageNet weights, mostly frozen, and a light head; a class-weighted
cross-entropy; a stratified split; flips, rotations and other strong augmentation; 62.8 % accuracy and
macro-F1 0.590; overfitting after epoch 10.

The paper does not give these, so they are our choice: 224 px; balanced weights; a validation part of 12.5 %;
AdamW; the head alone for 3 epochs, then everything from block 6 on, with statistics and scale of BatchNorm
frozen; rotation, zoom, shift and erasing as below. Against the overfitting, weights are averaged over steps.
Training stops after 4 epochs without a better macro-F1 and keeps the best epoch.

The published figures are the paper's, on its split. This recipe needs a GPU and is not measured here yet.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="insideout_v2s",
        backbone="EfficientNetV2S",
        weights="imagenet",
        image_size=224,
        dropout=0.3,
        split="stratified",
        validation_fraction=0.125,
        batch_size=64,
        class_weight="balanced",
        ema_decay=0.998,
        monitor="val_macro_f1",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=20.0,
            zoom=(0.85, 1.2),
            shift=0.1,
            shear_degrees=5.0,
            brightness=0.15,
            contrast=0.25,
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
        ),
        stages=(
            Stage("head", epochs=3, learning_rate=1e-3, unfreeze_from=None, batch_norm="frozen"),
            Stage(
                "finetune",
                epochs=20,
                learning_rate=3e-4,
                unfreeze_from="block6",
                batch_norm="frozen",
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=1.0,
                patience=4,
            ),
        ),
    )
