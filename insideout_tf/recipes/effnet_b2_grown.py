"""EfficientNet-B2 (arXiv 2601.18228) from ImageNet weights grown from EfficientNet-Lite2's, without a GPU.

    insideout train effnet_b2_grown --data PATH/TO/fer2013.csv --set weights=B2.weights.h5
    insideout evaluate runs/effnet_b2_grown --split private

The paper's network, split, loss and last stage: dropout 0.5, label smoothing 0.06, clipped class weights, a
stratified 87.5/12.5 division of Training, AdamW with decoupled weight decay 1e-4 at 3e-5 on all but BatchNorm.

Departures, each for a machine of two cores and for weights that are grown rather than downloaded:
- 64, then 96 px instead of 224, which is five to twelve times less work a face (progressive learning,
  Tan & Le 2021, arXiv 2104.00298, section 4).
- Two stages come between the paper's warm-up and its fine-tuning. In them BatchNorm trains: the blocks that
  Lite2 lacks begin as identities whose last BatchNorm has zero scale, and would stay so under the paper's rule.
- Weights are averaged over steps; the epoch is chosen by the log loss on the validation part of Training.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="effnet_b2_grown",
        backbone="EfficientNetB2",
        weights="effnet_b2_grown.weights.h5",
        image_size=96,
        dropout=0.5,
        split="stratified",
        validation_fraction=0.125,
        batch_size=64,
        class_weight="clipped(0.5,2)",
        label_smoothing=0.06,
        ema_decay=0.998,
        monitor="val_loss",
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
            Stage(
                "warmup",
                epochs=1,
                learning_rate=1e-3,
                optimizer="adam",
                unfreeze_from=None,
                image_size=64,
                batch_norm="frozen",
            ),
            Stage(
                "adapt",
                epochs=13,
                learning_rate=1e-3,
                image_size=64,
                weight_decay=2e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=1.0,
                final_fraction=0.3,
            ),
            Stage(
                "larger",
                epochs=7,
                learning_rate=3e-4,
                weight_decay=2e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.25,
            ),
            Stage(
                "finetune",
                epochs=2,
                learning_rate=3e-5,
                batch_norm="frozen",
                weight_decay=1e-4,
                schedule="cosine",
            ),
        ),
    )
