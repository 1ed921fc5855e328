"""Which language each service can do what with: data that workflows branch on, and that settings are checked
against."""

from __future__ import annotations

# Languages in which Transcribe redacts in a batch job. The classic material knows English alone; US Spanish came later,
# the others on 2026-05-01 (Amazon Transcribe Developer Guide, "Redacting PII in your batch job", "Supported languages
# and language-specific features" and "Document history", read 2026-11-25). "Redaction is not compatible with language
# identification" (the first of these): so a call whose language nobody told takes two jobs.
REDACTED = ("de-CH", "de-DE", "en-US", "es-US", "fr-CA", "fr-FR", "it-IT", "pt-BR", "pt-PT")

# Languages in which Transcribe cannot tell speakers apart in a batch job. None today: the table of "Supported languages
# and language-specific features" has no column for it, and "Amazon Transcribe features" lists speaker diarization
# without the mark of what depends on the language (Amazon Transcribe Developer Guide, read 2026-11-27). A code here is
# all that a branch in the state machine takes, for what has changed once can change again.
ONE_VOICE: tuple[str, ...] = ()

# What Comprehend finds moods, entities and key phrases in (Amazon Comprehend Developer Guide, "Languages supported in
# Amazon Comprehend", read 2026-11-25; botocore's `LanguageCode`).
ANALYSED = ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "pt", "zh", "zh-TW")

# Languages of Transcribe that calls may be in, with their codes in Translate and Comprehend (Amazon Transcribe
# Developer Guide, "Supported languages"; Amazon Translate Developer Guide, "Supported languages and language codes";
# both read 2026-11-25). A language more is a line more.
TRANSLATED = {
    "ar-SA": "ar",
    "de-CH": "de",
    "de-DE": "de",
    "en-AU": "en",
    "en-GB": "en",
    "en-US": "en",
    "es-ES": "es",
    "es-US": "es",
    "fr-CA": "fr-CA",
    "fr-FR": "fr",
    "hi-IN": "hi",
    "it-IT": "it",
    "ja-JP": "ja",
    "ko-KR": "ko",
    "nl-NL": "nl",
    "pl-PL": "pl",
    "pt-BR": "pt",
    "pt-PT": "pt-PT",
    "sv-SE": "sv",
    "tr-TR": "tr",
    "zh-CN": "zh",
    "zh-TW": "zh-TW",
}

# Voices of Polly that read summaries, with their language in Translate. All are neural (Amazon Polly Developer Guide,
# "Available voices", read 2026-11-25).
VOICES = {
    "Amy": "en",
    "Bianca": "it",
    "Camila": "pt",
    "Joanna": "en",
    "Kazuha": "ja",
    "Laura": "nl",
    "Lea": "fr",
    "Lucia": "es",
    "Lupe": "es",
    "Matthew": "en",
    "Vicki": "de",
}


def base(code: str) -> str:
    """The language of a code without its country: `fr-CA` is `fr`."""
    return code.split("-", maxsplit=1)[0]


def analysed(translate_code: str) -> str:
    """What Comprehend calls this language of Translate, or nothing if it does not know it."""
    if translate_code in ANALYSED:
        return translate_code
    return base(translate_code) if base(translate_code) in ANALYSED else ""
