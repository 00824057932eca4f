"""What several processes of a training do together although each has its own clock and hears its own signals."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Wishes(NamedTuple):
    """What a process would do after a step."""

    save: bool
    """Write a checkpoint."""
    stop: bool
    """Write a checkpoint and end."""


class Ballot:
    """Asks all processes after every step, and answers the same in each: what one of them wished at the step before.

    The votes go from processor to processor (gloo) while the next step is being taken, so no step waits for a device.
    Every process must call it equally often.

    Args:
        processes: of the training.
    """

    def __init__(self, processes: int) -> None:
        group = dist.new_group(backend="gloo") if processes > 1 else None
        assert not isinstance(group, int)  # every process is a member
        self.group = group
        self.votes: tuple[Tensor, dist.Work] | None = None

    def __call__(self, mine: Wishes) -> Wishes:
        """What is to be done after this step."""
        if self.group is None:
            return mine
        before = self.votes
        cast = torch.tensor([float(wish) for wish in mine])
        work = dist.all_reduce(cast, group=self.group, async_op=True)
        assert work is not None
        self.votes = (cast, work)
        if before is None:
            return Wishes(save=False, stop=False)
        before[1].wait()
        save, stop = (before[0] > 0).tolist()
        return Wishes(save, stop)

    def annul(self) -> None:
        """Forgets the wish to save, because it has been done; that to stop stands, or a training that saves after every
        step would never hear of it."""
        if self.votes:
            cast, work = self.votes
            work.wait()
            cast[0] = 0
