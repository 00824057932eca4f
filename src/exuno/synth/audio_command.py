"""``exuno synth audio CLIP … --out DIR``: one recording -> a data set of excerpts on disk. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import tyro

from exuno.commandline import parsed
from exuno.data.recording import load_recording, recording_sha256
from exuno.engine.errors import ExunoError
from exuno.synth.audio import ExcerptSampler
from exuno.synth.audio_files import BITS, ExcerptFiles, Format
from exuno.synth.audio_options import AudioOptions, check
from exuno.synth.interleave import Interleaved
from exuno.synth.job import Job
from exuno.synth.work import Work, carry_out, settle


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
    format: Format = "wav"
    """File format of an excerpt, of 16 bits."""
    audio: tyro.conf.OmitArgPrefixes[AudioOptions] = field(default_factory=AudioOptions)


def main(args: Sequence[str]) -> None:
    """Parse the command line, then explain or do the work."""
    options = parsed("synth audio", SynthAudio, args)
    job = resolve(options)
    recordings = [load_recording(spec, options.audio.rate) for spec in options.recordings]
    samplers = [ExcerptSampler(recording, options.audio, job.seed) for recording in recordings]
    carry_out(options, job, ExcerptFiles(Interleaved(samplers), options.audio.rate, options.format))


def resolve(options: SynthAudio) -> Job:
    """Check the options and settle what is written.

    Raises:
        ExunoError: a value that makes no sense.
    """
    if not options.recordings:
        raise ExunoError("no recording was given", "For example: sound:babble, or the path of a WAV file.")
    check(options.audio)
    hashes = [recording_sha256(spec) for spec in options.recordings]
    return settle(options, "excerpts", hashes, options.audio, options.format, BITS)
