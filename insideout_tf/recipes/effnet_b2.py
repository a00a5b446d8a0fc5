"""EfficientNet-B2 with ImageNet weights: warm-up of the head, then fine-tuning (arXiv 2601.18228).

    insideout train effnet_b2 --data PATH/TO/fer2013.csv
    insideout evaluate runs/effnet_b2 --split private

The paper gives: EfficientNet-B2 with ImageNet weights; global average pooling, dropout 0.5 and a dense layer
of 7; a warm-up of 3 epochs with the backbone frozen, Adam 1e-3; fine-tuning of all but BatchNorm for 7
epochs, AdamW 3e-5 with decoupled weight decay 1e-4; label smoothing 0.06; clipped class weights; real-time
augmentation; mixed precision; a stratified 87.5/12.5 division of Training with the official test set intact;
68.78 % accuracy.

The paper does not give these, so they are our choice: 224 px; the bounds 0.5 and 2 of the class weights;
batches of 64; the strengths of the augmentation; the epoch with the best validation accuracy. Mixed
precision is used if the device is faster with it.

The published figure is the paper's. This recipe needs a GPU and is not measured here yet.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="effnet_b2",
        backbone="EfficientNetB2",
        weights="imagenet",
        image_size=224,
        dropout=0.5,
        split="stratified",
        validation_fraction=0.125,
        batch_size=64,
        class_weight="clipped(0.5,2)",
        label_smoothing=0.06,
        precision="auto",
        monitor="val_accuracy",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.1,
            brightness=0.1,
            contrast=0.2,
        ),
        stages=(
            Stage(
                "warmup",
                epochs=3,
                learning_rate=1e-3,
                optimizer="adam",
                unfreeze_from=None,
                batch_norm="frozen",
            ),
            Stage(
                "finetune",
                epochs=7,
                learning_rate=3e-5,
                optimizer="adamw",
                unfreeze_from="all",
                batch_norm="frozen",
                weight_decay=1e-4,
                patience=3,
            ),
        ),
    )
