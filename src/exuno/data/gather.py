"""The gather that cuts all patches out of a poster at once."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from exuno.data.canvas import Layout, boxes


class Canvas:
    """Cuts patches out of posters of one layout, in one differentiable gather.

    A patch is found by the place of its first pixel, and its pixels by their distance from that, the same for all
    patches: the index of a batch is the sum of the two, so the memory held does not grow with patches times pixels.

    Args:
        layout: where the patches lie.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._indices: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def patches(self, poster: Tensor) -> Tensor:
        """Patches as networks see them; differentiable in the poster, as often as wished.

        Args:
            poster: float [C, H, W].

        Returns:
            float [P, C, *layout.image], in the order of ``boxes``; patches of another size are resized (bilinear,
            corners not aligned).
        """
        first, within = self._index(poster.device)
        index = (first[:, None] + within).flatten()
        pixels = poster.flatten(1).index_select(1, index)
        cut = pixels.view(len(poster), len(first), *self.layout.patch).transpose(0, 1)
        if self.layout.patch == self.layout.image:
            return cut
        return functional.interpolate(cut, self.layout.image, mode="bilinear", align_corners=False)

    def _index(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Flat position of the first pixel of each patch, int64 [P], and of a patch's pixels from there, [h * w]."""
        if device not in self._indices:
            width = self.layout.size[1]
            top, left = boxes(self.layout)[:, :2].T
            rows, columns = (np.arange(side) for side in self.layout.patch)
            within = (rows[:, None] * width + columns).ravel()
            with torch.inference_mode(False):  # autograd cannot save a tensor made in inference mode
                self._indices[device] = (
                    torch.from_numpy(top * width + left).to(device),
                    torch.from_numpy(within).to(device),
                )
        return self._indices[device]
