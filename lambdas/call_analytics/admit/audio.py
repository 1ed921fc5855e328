"""What a file says it is, by its first bytes."""

from __future__ import annotations

# As many as tell the formats apart.
HEAD_BYTES = 16

# What Amazon Transcribe takes: 2 GB, four hours, and these formats (Amazon Transcribe Developer Guide, "Data input and
# output", and AWS General Reference, "Amazon Transcribe endpoints and quotas", read 2026-11-25). How long a recording
# is only Transcribe finds out: its job then fails and says so.
MAXIMUM_BYTES = 2 * 1024**3

_SIGNATURES: tuple[tuple[str, int, bytes], ...] = (
    ("flac", 0, b"fLaC"),
    ("ogg", 0, b"OggS"),
    ("amr", 0, b"#!AMR"),
    ("webm", 0, b"\x1a\x45\xdf\xa3"),
    ("mp3", 0, b"ID3"),
    ("m4a", 4, b"ftypM4A"),
    ("mp4", 4, b"ftyp"),
)


def media_format(head: bytes) -> str | None:
    """The format by Transcribe's name (`wav`, `mp3`, `m4a`, ...), or None for a file that is none of them."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    for name, offset, signature in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return name
    # An MPEG frame without a tag before it: eleven bits set, then a layer that is not the reserved one.
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
        return "mp3"
    return None
