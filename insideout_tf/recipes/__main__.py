"""`python -m insideout_tf.recipes`: the same as `insideout recipes`."""

from insideout_tf import recipes

if __name__ == "__main__":
    recipes.main()
