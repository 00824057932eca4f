"""``exuno synth PHOTO … --out DIR``: one photograph -> a data set of patches on disk. Imports no torch.

The command behind a second word, as in ``exuno synth video``, is in a module of its own (``WORDS``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import ClassVar

import tyro

from exuno.commandline import parsed
from exuno.data.photo import load_photo
from exuno.synth.encode import Format, PatchFiles
from exuno.synth.job import Job
from exuno.synth.mixture import Mixture
from exuno.synth.options import ImageOptions
from exuno.synth.work import PhotoWork, carry_out, settle_photos, within

WORDS = {"video": "exuno.synth.video_command", "audio": "exuno.synth.audio_command"}
"""Second words and their modules, each with ``main(args)``."""


@dataclass(frozen=True)
class Synth(PhotoWork):
    """Make a data set of patches from one photograph (or several).

    exuno synth video makes clips of it, exuno synth audio excerpts of a recording (exuno synth video --help).
    """

    OFTEN: ClassVar[str] = (
        "out count size format quality container shard first_crop area interpolation rotate shear jitter hflip "
        "seed workers contact_sheet smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno synth my-photo.jpg --out patches",
        "exuno synth photo:coffee --out patches --count 1000 --size 64",
        "exuno synth a.jpg b.jpg --out shards --container wds --workers 8",
    )

    format: Format = "jpeg"
    """File format of a patch."""
    quality: int = 75
    """Quality of jpeg and webp, 1 to 100."""
    image: tyro.conf.OmitArgPrefixes[ImageOptions] = field(default_factory=ImageOptions)


def main(args: Sequence[str]) -> None:
    """Parse the command line, then explain or do the work; a second word has a command of its own."""
    if args and args[0] in WORDS:
        import_module(WORDS[args[0]]).main(args[1:])
    else:
        synth(parse(args))


def parse(args: Sequence[str]) -> Synth:
    """The options of a command line; help is printed, and ends the program."""
    return parsed("synth", Synth, args)


def synth(options: Synth) -> None:
    """Write the patches (or, for a dry run, tell what would be written)."""
    job = resolve(options)
    mixture = Mixture([load_photo(spec) for spec in options.photos], options.image, job.seed)
    out = carry_out(options, job, PatchFiles(mixture, options.format, job.quality))
    if out and options.contact_sheet:
        import numpy as np

        from exuno.synth.contact import write_contact_sheet

        write_contact_sheet(mixture(np.arange(min(options.contact_sheet, job.count))), out)


def resolve(options: Synth) -> Job:
    """Check the options and settle what is written.

    Raises:
        ExunoError: a value that makes no sense.
    """
    within("quality", options.quality, 1, 100)
    return settle_photos(options, "patches", options.image, options.format, options.quality)
