"""Any network as a feature extractor: images -> vectors. A shared room; no torch until a module of it is imported.

- ``extract``: which features a network has, those of a data set, and the images that they are taken from.
- ``cache``: features on disk, exuno's own and HDF5 files of others; ``attention``: where a transformer looks.
"""

from typing import Literal

FeatureName = Literal["auto", "cls+patch", "cls", "patch", "last"]
"""Which features: of a transformer its [CLS] token, its patches, or both; of another network the input of its last
layer."""
Count = Literal[1, 2, 5, 10]
"""Views of an image over which its features are averaged: 1, the centre; 2, with its mirror image; 5, the four corners
and the centre; 10, these and their mirror images."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""How every HDF5 file begins."""
