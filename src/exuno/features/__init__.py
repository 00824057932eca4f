"""Any network as a feature extractor: images -> vectors. A shared room; no torch until a module of it is imported.

- ``extract``: which features a network has, and those of a whole data set.
- ``images``: the images that they are taken from.
- ``cache``: what was computed once, on disk, under a key of all that shaped it.
- ``hdf5``: what another program computed, in a file.
"""

from typing import Literal

FeatureName = Literal["auto", "cls+patch", "cls", "patch", "last"]
"""Which features: of a transformer its [CLS] token, its patches, or both; of another network the input of its last
layer."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""How every HDF5 file begins."""
