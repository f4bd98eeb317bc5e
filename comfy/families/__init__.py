"""The families of image models: how each is loaded and sampled, and which file belongs to which."""
