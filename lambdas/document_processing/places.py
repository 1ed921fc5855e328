"""Where the parts of one document lie in the bucket, by its id.

The id is made of what makes two uploads the same (bucket, key, version), and names nothing: it may stand in logs, in
the names of executions and in links.
"""

from __future__ import annotations

import hashlib

# Half of a SHA-256: 160 bits tell any number of documents apart, and leave room in an execution's 80 characters.
ID_CHARACTERS = 40

RESULTS_PREFIX = "documents/"


def document_id(bucket: str, key: str, version: str) -> str:
    """The id of one version of an object: 40 hexadecimal characters."""
    identity = "\0".join((bucket, key, version))
    return hashlib.sha256(identity.encode()).hexdigest()[:ID_CHARACTERS]


def analysis_part(document: str, number: int) -> str:
    """A page of Textract's answer, as it came."""
    return f"{RESULTS_PREFIX}{document}/analysis/{number:04d}.json"


def reading(document: str) -> str:
    """Fields, tables and text, as they were read from the answer."""
    return f"{RESULTS_PREFIX}{document}/reading.json"


def texts(document: str, number: int) -> str:
    """A batch of paragraphs for Comprehend."""
    return f"{RESULTS_PREFIX}{document}/texts/{number:04d}.json"


def insights(document: str, number: int) -> str:
    """What Comprehend found in that batch."""
    return f"{RESULTS_PREFIX}{document}/insights/{number:04d}.json"


def page_image(document: str, page: int) -> str:
    """A page as a reviewer sees it."""
    return f"{RESULTS_PREFIX}{document}/pages/{page:04d}.jpg"


def doubts(document: str) -> str:
    """What a reviewer is asked about."""
    return f"{RESULTS_PREFIX}{document}/doubts.json"


def result(document: str) -> str:
    """Everything that was found, with a reviewer's corrections."""
    return f"{RESULTS_PREFIX}{document}/result.json"
