"""Functions of the architecture `image-labeling`."""
