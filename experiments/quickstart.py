"""The quickstart recipe, kept in the package so that an installed wheel has it too.

    python -m insideout_tf.train

See `insideout_tf/quickstart.py`; copy that file to begin an experiment of your own.
"""

from insideout_tf.quickstart import get_config

__all__ = ["get_config"]
