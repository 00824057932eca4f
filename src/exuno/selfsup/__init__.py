"""Networks from images without labels: the self-supervised methods of the single-image paper, on any source.

- ``selfsup``: ``exuno selfsup``, its configuration and command line; ``train``: from top to bottom.
- ``methods``: one file each, registered by name; ``clusters``: features -> pseudo-labels; ``presets/``.
"""
