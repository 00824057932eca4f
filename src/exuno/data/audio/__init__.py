"""Recordings: one (``recording``), generated (``generated``), in sets (``recordings``), as spectrograms (``mel``)."""
