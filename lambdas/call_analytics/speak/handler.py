"""Speaks a summary of a call: composed in English, translated to the language of the voice, spoken by Polly."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.call_analytics import places
from lambdas.call_analytics.speak.summary import summary
from lambdas.shared.clients import PATIENT, make_clients
from lambdas.shared.failures import told_by_name

BUCKET = os.environ["BUCKET"]
VOICE = os.environ["VOICE"]
VOICE_LANGUAGE = os.environ["VOICE_LANGUAGE"]
ENGINE = os.environ["ENGINE"]
TERMINOLOGIES = [name for name in os.environ["TERMINOLOGY"].split(",") if name]

COMPOSED_IN = "en"

logger = Logger()
services = {"s3": PATIENT, "polly": PATIENT}
# Only a voice of another language needs it.
if VOICE_LANGUAGE != COMPOSED_IN:
    services["translate"] = PATIENT
clients = make_clients(services)


@told_by_name
@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, str], context: Any) -> dict[str, str]:
    """Takes {"call"}; returns {"summary": key of the MP3 file}."""
    call = event["call"]
    text = summary(places.read_json(clients["s3"], BUCKET, places.report(call)))
    if VOICE_LANGUAGE != COMPOSED_IN:
        text = clients["translate"].translate_text(
            Text=text,
            SourceLanguageCode=COMPOSED_IN,
            TargetLanguageCode=VOICE_LANGUAGE,
            TerminologyNames=TERMINOLOGIES,
        )["TranslatedText"]
    spoken = clients["polly"].synthesize_speech(Text=text, VoiceId=VOICE, Engine=ENGINE, OutputFormat="mp3")
    with spoken["AudioStream"] as stream:
        clients["s3"].put_object(Bucket=BUCKET, Key=places.summary(call), Body=stream.read(), ContentType="audio/mpeg")
    logger.info("spoken", extra={"call": call})
    return {"summary": places.summary(call)}
