"""A nano network of 3×3 convolutions alone, meant for processors without 8-bit instructions, distilled from `small`.

    insideout train branched_nano --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --teacher small
    insideout evaluate runs/branched_nano --split private

Each 3×3 convolution has parallel branches in training, which an export folds into one convolution (RepVGG, Ding
et al. 2021, arXiv 2101.03697). The network does 15 million multiplications a face, half of those of
`compact_nano_whole`, and most of them at 6×6 and 12×12 positions. As there, seven tenths of each label are the
teacher's probabilities for the same augmented face. PublicTest chooses the epoch.

Not measured yet.
"""

import dataclasses

from insideout_tf.recipes import compact_nano_whole


def get_config():
    base = compact_nano_whole.get_config()
    (stage,) = base.stages
    return dataclasses.replace(
        base,
        name="branched_nano",
        backbone="BranchedNano",
        standardize="outliers",
        stages=(dataclasses.replace(stage, epochs=120),),
    )
