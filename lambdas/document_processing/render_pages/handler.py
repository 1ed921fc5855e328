"""Makes pictures of the pages that a reviewer will see. Only on the way to a review, and only of the doubtful pages.

Written without Powertools: with pdfium and Pillow the function is at its size.
"""

from __future__ import annotations

import io
import json
import logging
import os
from typing import Any

from lambdas.document_processing import places
from lambdas.shared.clients import make_clients
from lambdas.shared.failures import told_by_name

BUCKET = os.environ["BUCKET"]

# Enough to read the small print of a letter-sized page, and some 300 kB.
LONGER_SIDE_PIXELS = 1600
JPEG_QUALITY = 80

logger = logging.getLogger()
logger.setLevel(logging.INFO)
clients = make_clients({"s3": (20, 3)})


@told_by_name
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes {bucket, key, version, document, kind}; returns {"images": [{"page", "width", "height"}, ...]}: pixels."""
    wanted = _json(places.doubts(event["document"]))["pages"]
    data = _get(event["bucket"], event["key"], event["version"])
    images = []
    for page in wanted:
        picture = pdf_page(data, page) if event["kind"] == "pdf" else image_page(data, page)
        body = io.BytesIO()
        picture.save(body, "JPEG", quality=JPEG_QUALITY)
        clients["s3"].put_object(
            Bucket=BUCKET,
            Key=places.page_image(event["document"], page),
            Body=body.getvalue(),
            ContentType="image/jpeg",
        )
        images.append({"page": page, "width": picture.width, "height": picture.height})
    logger.info("rendered %s pages of document %s", len(images), event["document"])
    return {"images": images}


def pdf_page(data: bytes, page: int) -> Any:
    """A page of a PDF, from 1, as a Pillow image."""
    import pypdfium2

    document = pypdfium2.PdfDocument(io.BytesIO(data))
    try:
        opened = document[page - 1]
        scale = LONGER_SIDE_PIXELS / max(opened.get_size())
        return opened.render(scale=scale).to_pil().convert("RGB")
    finally:
        document.close()


def image_page(data: bytes, page: int) -> Any:
    """A page of an image file, from 1, as a Pillow image."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as opened:
        opened.seek(page - 1)
        picture = opened.convert("RGB")
    picture.thumbnail((LONGER_SIDE_PIXELS, LONGER_SIDE_PIXELS))
    return picture


def _json(key: str) -> Any:
    with clients["s3"].get_object(Bucket=BUCKET, Key=key)["Body"] as body:
        return json.loads(body.read())


def _get(bucket: str, key: str, version: str) -> bytes:
    with clients["s3"].get_object(Bucket=bucket, Key=key, VersionId=version)["Body"] as body:
        return bytes(body.read())
