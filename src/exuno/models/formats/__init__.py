"""Foreign files of weights: read safely, unwrapped, told apart, and brought to exuno's names."""
