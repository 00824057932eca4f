"""``exuno synth video PHOTO … --out DIR``: one photograph -> a data set of clips on disk. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import tyro

from exuno.commandline import parsed
from exuno.data.photo import load_photo
from exuno.synth.job import Job
from exuno.synth.mixture import Mixture
from exuno.synth.mp4 import ClipFiles
from exuno.synth.options import ClipFileOptions
from exuno.synth.work import PhotoWork, carry_out, settle_photos, within


@dataclass(frozen=True)
class SynthVideo(PhotoWork):
    """Make a data set of clips, MP4 files, that glide between two random boxes of one photograph (or several)."""

    OFTEN: ClassVar[str] = (
        "out count size frames fps crf container shard first_crop area jitter seed workers contact_sheet smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno synth video my-photo.jpg --out clips",
        "exuno synth video photo:coffee --out clips --count 100 --size 112",
        "exuno synth video my-photo.jpg --out clips --dry-run",
    )

    count: int = 200000
    """Number of samples."""
    crf: int = 23
    """Quality of a file, x264's constant rate factor: 0 (exact, large) to 51."""
    video: tyro.conf.OmitArgPrefixes[ClipFileOptions] = field(default_factory=ClipFileOptions)


def main(args: Sequence[str]) -> None:
    """Parse the command line, then explain or do the work."""
    options = parsed("synth video", SynthVideo, args)
    job = resolve(options)
    mixture = Mixture([load_photo(spec) for spec in options.photos], options.video, job.seed)
    out = carry_out(options, job, ClipFiles(mixture, options.video.fps, options.crf))
    if out and options.contact_sheet:
        import numpy as np

        from exuno.synth.contact import write_contact_sheet

        clips = mixture(np.arange(min(options.contact_sheet, job.count)))
        write_contact_sheet(clips.reshape(-1, *clips.shape[2:]), out, columns=clips.shape[1])


def resolve(options: SynthVideo) -> Job:
    """Check the options and settle what is written.

    Raises:
        ExunoError: a value that makes no sense.
    """
    within("crf", options.crf, 0, 51)
    return settle_photos(options, "clips", options.video, "mp4", options.crf)
