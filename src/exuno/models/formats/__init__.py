"""Foreign files of weights: read safely (``weights``, ``inert``), unwrapped (``wrapped``), told apart by names and
shapes (``recognise``), and brought to exuno's names (``layouts``, ``ibot``, ``tensorflow``)."""
