"""The public functions of the package, one file a subject; `insideout_tf` exports them."""
