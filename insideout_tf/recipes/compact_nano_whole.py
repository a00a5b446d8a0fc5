"""CompactFER nano at full resolution: as many parameters, distilled from compact_small_whole.

    insideout train compact_nano_whole --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --teacher runs/compact_small_whole
    insideout evaluate runs/compact_nano_whole --split private

`compact_nano` halves the face's sides after one convolution. Here the first level keeps the full 48×48
resolution, and camera noise is added to the faces. Seven tenths of each label are the teacher's
probabilities for the same augmented face (Beyer et al. 2022, arXiv 2106.05237).

Measured, seed 0: PrivateTest 67.99 %, macro-F1 0.643; PublicTest 67.34 %; about 117 minutes on 2 cores of an
AMD EPYC. See experiments/RESULTS.md. The teacher was the run that the command names; the packaged `small`
is another model.
"""

import dataclasses

from insideout_tf.recipes import compact_nano


def get_config():
    base = compact_nano.get_config()
    return dataclasses.replace(
        base,
        name="compact_nano_whole",
        backbone="CompactFERNanoWhole",
        augmentation=dataclasses.replace(base.augmentation, noise=0.05),
    )
