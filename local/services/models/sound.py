"""Sound files as samples: what FFmpeg's decoders (in package `av`) read, at the rate that the models listen to."""

import io
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
"""Samples a second of everything here: what Whisper was trained on."""

Samples = npt.NDArray[np.float32]


class UnreadableSound(Exception):  # noqa: N818 (named after what is wrong)
    """Not a sound file, cut short, or of a format that is not known."""


@dataclass(frozen=True)
class Sound:
    """`channels` holds one row of samples between -1 and 1 a channel; `rate` is the file's own; `container` names its
    format as FFmpeg does ("wav", "mp3", "ogg", "flac", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")."""

    channels: npt.NDArray[np.float32]
    rate: int
    container: str

    @property
    def seconds(self) -> float:
        return float(self.channels.shape[1] / SAMPLE_RATE)

    def mono(self) -> Samples:
        """All channels in one."""
        mixed: Samples = self.channels.mean(axis=0, dtype=np.float32)
        return mixed


def decode(data: bytes, *, longest: float) -> Sound:
    """Decode a sound file. Stops with UnreadableSound for one that is damaged, and with OverlongSound after `longest`
    seconds."""
    try:
        with av.open(io.BytesIO(data), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise UnreadableSound("there is no sound in the file")
            stream = container.streams.audio[0]
            layout = "stereo" if stream.codec_context.channels == 2 else "mono"
            resampler = av.AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE)
            rows = 2 if layout == "stereo" else 1
            parts, count = [], 0
            for frame in container.decode(stream):
                for converted in resampler.resample(frame):
                    parts.append(converted.to_ndarray().reshape(-1, rows))
                    count += len(parts[-1])
                if count > longest * SAMPLE_RATE:
                    raise OverlongSound
            parts += [converted.to_ndarray().reshape(-1, rows) for converted in resampler.resample(None)]
            rate, name = stream.codec_context.sample_rate, container.format.name
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise UnreadableSound(str(error)) from error
    if not parts:
        raise UnreadableSound("there is no sound in the file")
    samples = np.concatenate(parts).T.astype(np.float32) / 32_768
    return Sound(np.ascontiguousarray(samples), rate, name)


class OverlongSound(Exception):  # noqa: N818 (named after what is wrong)
    """The sound goes on for longer than it may."""
