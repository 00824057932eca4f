"""``exuno synth [video | audio]``: one photograph or recording -> a data set on disk. Imports no torch.

The command behind a second word, as in ``exuno synth video``, is in a module of its own (``WORDS``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import tyro

from exuno.commandline import parsed
from exuno.data.audio.recording import load_recording, recording_sha256
from exuno.data.images.photo import load_photo
from exuno.engine.errors import ExunoError
from exuno.engine.idle import Acts
from exuno.synth.audio import ExcerptSampler
from exuno.synth.job import Job
from exuno.synth.mixture import Interleaved, Mixture
from exuno.synth.options import AudioOptions, ClipFileOptions, ImageOptions, check_audio
from exuno.synth.work import PhotoWork, Work, running, settle, settle_photos, within
from exuno.synth.writer import BITS, ClipFiles, ExcerptFiles, Format, PatchFiles, SoundFormat


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
    quality: Annotated[int, Acts(lambda made: made.format in ("jpeg", "webp"), "--format {format} keeps every bit")] = (
        75
    )
    """Quality of jpeg and webp, 1 to 100."""
    image: tyro.conf.OmitArgPrefixes[ImageOptions] = field(default_factory=ImageOptions)


def main(args: Sequence[str]) -> None:
    """Parse the command line, then explain or do the work; a second word has a command of its own."""
    words = {"video": main_video, "audio": main_audio}
    if args and args[0] in words:
        words[args[0]](args[1:])
    else:
        synth(parse(args))


def parse(args: Sequence[str]) -> Synth:
    """The options of a command line; help is printed, and ends the program."""
    return parsed("synth", Synth, args)


def synth(options: Synth) -> None:
    """Write the patches (or, for a dry run, tell what would be written)."""
    job = resolve(options)
    mixture = Mixture([load_photo(spec) for spec in options.photos], options.image, job.seed)
    with running(options, job, PatchFiles(mixture, options.format, job.quality)) as out:
        if out and options.contact_sheet:
            import numpy as np

            from exuno.synth.writer import write_contact_sheet

            write_contact_sheet(mixture(np.arange(min(options.contact_sheet, job.count))), out)


def resolve(options: Synth) -> Job:
    """Check the options and settle what is written.

    Raises:
        ExunoError: a value that makes no sense.
    """
    within("quality", options.quality, 1, 100)
    return settle_photos(options, "patches", options.image, options.format, options.quality)


@dataclass(frozen=True, kw_only=True)
class SynthAudio(Work):
    """Make a data set of excerpts, changed in time, pitch and sound, of one recording (or several)."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno synth audio my-recording.wav --out excerpts",
        "exuno synth audio sound:babble --out excerpts --count 1000 --seconds 2",
        "exuno synth audio my-recording.wav --out excerpts --dry-run",
    )

    recordings: tyro.conf.Positional[tuple[str, ...]]
    """Recordings: a path (WAV, FLAC, MP3, Ogg, …), sound:babble, sound:music or sound:noise; of several, sample i comes
    from number i mod n."""
    format: SoundFormat = "wav"
    """File format of an excerpt, of 16 bits."""
    audio: tyro.conf.OmitArgPrefixes[AudioOptions] = field(default_factory=AudioOptions)


def main_audio(args: Sequence[str]) -> None:
    """Parse the command line, then explain or do the work."""
    options = parsed("synth audio", SynthAudio, args)
    job = resolve_audio(options)
    recordings = [load_recording(spec, options.audio.rate) for spec in options.recordings]
    samplers = [ExcerptSampler(recording, options.audio, job.seed) for recording in recordings]
    with running(options, job, ExcerptFiles(Interleaved(samplers), options.audio.rate, options.format)):
        pass


def resolve_audio(options: SynthAudio) -> Job:
    """Check the options and settle what is written.

    Raises:
        ExunoError: a value that makes no sense.
    """
    if not options.recordings:
        raise ExunoError("no recording was given", "For example: sound:babble, or the path of a WAV file.")
    check_audio(options.audio)
    hashes = [recording_sha256(spec) for spec in options.recordings]
    return settle(options, "excerpts", hashes, options.audio, options.format, BITS)


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


def main_video(args: Sequence[str]) -> None:
    """Parse the command line, then explain or do the work."""
    options = parsed("synth video", SynthVideo, args)
    job = resolve_video(options)
    mixture = Mixture([load_photo(spec) for spec in options.photos], options.video, job.seed)
    with running(options, job, ClipFiles(mixture, options.video.fps, options.crf)) as out:
        if out and options.contact_sheet:
            import numpy as np

            from exuno.synth.writer import write_contact_sheet

            clips = mixture(np.arange(min(options.contact_sheet, job.count)))
            write_contact_sheet(clips.reshape(-1, *clips.shape[2:]), out, columns=clips.shape[1])


def resolve_video(options: SynthVideo) -> Job:
    """Check the options and settle what is written.

    Raises:
        ExunoError: a value that makes no sense.
    """
    within("crf", options.crf, 0, 51)
    return settle_photos(options, "clips", options.video, "mp4", options.crf)
