"""Where the parts of a call lie in the bucket, and the texts that are kept there.

A call is known by the digest of its object version: 32 hexadecimal digits. What passes between functions lies in S3 and
not in the state machine, so that neither its quota (256 KiB of input or output; AWS Step Functions Developer Guide,
"Step Functions service quotas", read 2026-11-25) nor its history has to do with what was said.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

TURNS = "turns.json"
TRANSLATED = "translated.json"
ANALYSIS = "analysis.json"


def call_id(bucket: str, key: str, version: str) -> str:
    """The name of one object version, the same for each event that tells of it."""
    told = json.dumps([bucket, key, version])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def work(call: str, name: str) -> str:
    """What one function leaves for the next."""
    return f"work/{call}/{name}"


def media(call: str, media_format: str) -> str:
    """The version that Transcribe reads, under a name that nobody can overwrite by an upload."""
    return f"media/{call}.{media_format}"


def translate_in(call: str) -> str:
    """The folder that a translation job reads: a file a turn."""
    return f"translate-in/{call}/"


def translate_out(call: str) -> str:
    """The folder under which a translation job makes its own."""
    return f"translate-out/{call}/"


def report(call: str) -> str:
    return f"reports/{call}.json"


def summary(call: str) -> str:
    return f"summaries/{call}.mp3"


def read_json(s3: Any, bucket: str, key: str) -> Any:
    """Raises ClientError, and ValueError for what is no JSON."""
    with s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
        return json.loads(body.read())


def write_json(s3: Any, bucket: str, key: str, value: Any) -> None:
    """Raises ClientError."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="application/json")
