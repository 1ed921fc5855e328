"""Personal data in an English text: presidio's recognizers, some patterns of our own, and the names and dates of spaCy.

What is found: names of people, dates and times, street addresses as they are written in English-speaking countries,
ages, phone numbers, e-mail and web addresses, IP and MAC addresses; numbers with a checksum (payment cards, IBAN, US
routing numbers, UK NHS, Indian Aadhaar, vehicle identification); US social security and taxpayer numbers, UK national
insurance, Canadian social insurance numbers (checksum too), Indian PAN and voter numbers; and, where the text names
them, bank accounts, US passports and driving licences, PINs, card codes and expiry dates, user names, passwords, SWIFT
codes and AWS keys.

What is not: UK taxpayer references, Canadian health numbers, Indian NREGA numbers, licence plates; addresses without a
street; anything in another language.

Scores of names and dates are the recognizer's probabilities. Those of patterns are presidio's or this table's: a
starting value, raised by words around that say what it is, and to 1 by a checksum that fits.
"""

import functools
import logging
import re
import threading
from typing import TYPE_CHECKING, NamedTuple

from local.services.models.language import EnglishModel, Span, english_model, pieces

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer

# Below this a finding is a guess: presidio gives any 8 digits 0.05 as a bank account, and 0.4 where the text speaks of
# an account.
LOWEST_SCORE = 0.35

# What presidio calls it, and what Comprehend calls it ("PiiEntity", Amazon Comprehend API Reference, read 2026-11-25).
TYPES = {
    "ABA_ROUTING_NUMBER": "BANK_ROUTING",
    "CREDIT_CARD": "CREDIT_DEBIT_NUMBER",
    "EMAIL_ADDRESS": "EMAIL",
    "IBAN_CODE": "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
    "IN_AADHAAR": "IN_AADHAAR",
    "IN_PAN": "IN_PERMANENT_ACCOUNT_NUMBER",
    "IN_VOTER": "IN_VOTER_NUMBER",
    "IP_ADDRESS": "IP_ADDRESS",
    "MAC_ADDRESS": "MAC_ADDRESS",
    "PHONE_NUMBER": "PHONE",
    "UK_NHS": "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
    "UK_NINO": "UK_NATIONAL_INSURANCE_NUMBER",
    "URL": "URL",
    "US_BANK_NUMBER": "BANK_ACCOUNT_NUMBER",
    "US_DRIVER_LICENSE": "DRIVER_ID",
    "US_ITIN": "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
    "US_PASSPORT": "PASSPORT_NUMBER",
    "US_SSN": "SSN",
}
_OF_ENTITIES = {"PERSON": "NAME", "DATE": "DATE_TIME", "TIME": "DATE_TIME"}

# Scores that presidio gives without context and that are too low to be kept are raised to 0.4 by context: these are
# found only where the text names them.
_SAID = r"(?:\s+(?:is|was|number|no\.?|code|id))*\s*[:=#]?\s*"
_STREET = (
    r"Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Place|Pl|Terrace|Crescent|Close"
    r"|Way|Parkway|Pkwy|Highway|Hwy|Circle|Row|Walk|Mews|Quay"
)


class _Form(NamedTuple):
    """A type of Comprehend's, the pattern of its value (case matters), and the score of a match."""

    kind: str
    pattern: str
    score: float


_FORMS = (
    _Form(
        "ADDRESS",
        r"\b\d{1,5}[A-Za-z]?\s+(?:[A-Z][\w'\u2019.-]*\s+){1,4}(?:" + _STREET + r")\b\.?"
        r"(?:\s+[NS]?[EW]\b|\s+[NS]\b)?(?:,?\s+(?:Apartment|Apt|Suite|Unit|Flat|Floor|#)\.?\s*[\w-]+)?"
        r"(?:,\s*[A-Z]['\u2019-]?[a-zà-ÿ][\w'\u2019-]*(?:\s+[A-Z]['\u2019-]?[a-zà-ÿ][\w'\u2019-]*){0,2})?"
        r"(?:,?\s+(?:[A-Z]{2}\s+\d{5}(?:-\d{4})?|\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]?\s*\d[A-Z]{2}))?",
        0.8,
    ),
    _Form("AGE", r"\b\d{1,3}(?=[\s-]years?[\s-]old\b)|(?<=\b[Aa]ged?(?:\s+is)?:?\s+)\d{1,3}\b", 0.8),
    _Form("AWS_ACCESS_KEY", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", 0.95),
    _Form("AWS_SECRET_KEY", r"(?<=(?i:\bsecret(?:[\s_-]*access)?[\s_-]*key)" + _SAID + r")[A-Za-z0-9/+]{40}\b", 0.9),
    _Form("CREDIT_DEBIT_CVV", r"(?<=(?i:\b(?:CVV2?|CVC2?|security\s+code))" + _SAID + r")\d{3,4}\b", 0.8),
    _Form(
        "CREDIT_DEBIT_EXPIRY",
        r"(?<=(?i:\b(?:exp(?:ir(?:es|y|ation))?)(?:\s+date)?)" + _SAID + r")(?:0[1-9]|1[0-2])\s*/\s*(?:20)?\d{2}\b",
        0.8,
    ),
    _Form("PASSWORD", r"(?<=(?i:\b(?:password|passphrase))(?:\s+is|\s*[:=])\s*)[^\s,;]{3,}[^\s,;.]", 0.8),
    _Form("PIN", r"(?<=\b(?:PIN|(?i:pin\s+(?:code|number)))" + _SAID + r")\d{4,6}\b", 0.8),
    _Form("SWIFT_CODE", r"(?<=(?i:\b(?:SWIFT|BIC))" + _SAID + r")[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?\b", 0.8),
    _Form("USERNAME", r"(?<=(?i:\b(?:user\s?name|login|user\s+id))(?:\s+is|\s*[:=])\s*)[\w.@-]{2,}\w", 0.8),
)


class PersonalModel:
    """Presidio's recognizers over the English pipeline. Answers one caller at a time."""

    def __init__(self, english: EnglishModel) -> None:
        self._english = english
        self._engine = _engine(english)

    def find(self, text: str) -> list[Span]:
        """Personal data by Comprehend's types, in the order of the text.

        No two findings overlap: a pattern goes before a name or a date, then the surer stays, then the longer.
        """
        shaped: list[Span] = []
        for start, piece in pieces(text):
            with self._english.turn:
                results = self._engine.analyze(piece, "en", score_threshold=LOWEST_SCORE)
            shaped += [
                Span(TYPES.get(one.entity_type, one.entity_type), start + one.start, start + one.end, one.score)
                for one in results
            ]
        named = [
            Span(_OF_ENTITIES[one.kind], one.begin, one.end, one.score)
            for one in self._english.read(text).entities
            if one.kind in _OF_ENTITIES and not _NUMBER.fullmatch(text, one.begin, one.end)
        ]
        kept: list[Span] = []
        for one in [*sorted(shaped, key=_surest_first), *sorted(named, key=_surest_first)]:
            if all(one.end <= other.begin or other.end <= one.begin for other in kept):
                kept.append(one)
        return sorted((_trimmed(one, text) for one in kept), key=lambda one: one.begin)


# The recognizer takes many a long number for a date. A year alone may be one.
_NUMBER = re.compile(r"(?!(?:1[5-9]|20)\d\d$)\d[\d\s]*")


def _surest_first(one: Span) -> tuple[float, int]:
    return -one.score, one.begin - one.end


def _trimmed(one: Span, text: str) -> Span:
    """Without the space around it and the full stop behind it, which some of presidio's patterns take along."""
    found = text[one.begin : one.end]
    begin = one.begin + len(found) - len(found.lstrip())
    return Span(one.kind, begin, one.begin + len(found.rstrip(" \t\r\n.,;:")), one.score)


def _engine(english: EnglishModel) -> "AnalyzerEngine":
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    # It warns of every entity of spaCy's that it has no use for, and tells what it loads.
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    pipeline = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "en_core_web_sm"}])
    # The pipeline that is there already: left to itself it would download one by that name.
    pipeline.nlp = {"en": english.pipeline}
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=_recognizers(), supported_languages=["en"]),
        nlp_engine=pipeline,
        supported_languages=["en"],
    )


def _recognizers() -> "list[EntityRecognizer]":
    import tldextract
    from presidio_analyzer import Pattern, PatternRecognizer
    from presidio_analyzer import predefined_recognizers as predefined

    # The list of domains that the package brings. By default it would fetch today's, and keep it in the user's home.
    domains = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class Email(predefined.EmailRecognizer):  # type: ignore[misc]  # presidio's modules carry no types
        def validate_result(self, pattern_text: str) -> bool:
            return bool(domains(pattern_text).fqdn)

    class Url(predefined.UrlRecognizer):  # type: ignore[misc]  # as above
        def validate_result(self, pattern_text: str) -> bool:
            return bool(domains(pattern_text).fqdn)

    class Vehicle(PatternRecognizer):  # type: ignore[misc]  # as above
        def validate_result(self, pattern_text: str) -> bool:
            return vehicle_checksum_fits(pattern_text)

    class Canadian(PatternRecognizer):  # type: ignore[misc]  # as above
        def validate_result(self, pattern_text: str) -> bool:
            return luhn_fits(pattern_text)

    ours = [
        PatternRecognizer(form.kind, patterns=[Pattern(form.kind, form.pattern, form.score)], global_regex_flags=0)
        for form in _FORMS
    ]
    return [
        *ours,
        Email(),
        Url(),
        Vehicle(
            "VEHICLE_IDENTIFICATION_NUMBER",
            patterns=[Pattern("VIN", r"\b[A-HJ-NPR-Z0-9]{8}[0-9X][A-HJ-NPR-Z0-9]{2}\d{6}\b", 0.4)],
            global_regex_flags=0,
        ),
        Canadian(
            "CA_SOCIAL_INSURANCE_NUMBER",
            patterns=[
                Pattern("SIN", r"(?<=(?i:\b(?:SIN|social\s+insurance))" + _SAID + r")\d{3}[ -]\d{3}[ -]\d{3}\b", 0.5)
            ],
            global_regex_flags=0,
        ),
        predefined.AbaRoutingRecognizer(),
        predefined.CreditCardRecognizer(),
        predefined.IbanRecognizer(),
        predefined.InAadhaarRecognizer(),
        predefined.InPanRecognizer(),
        predefined.InVoterRecognizer(),
        predefined.IpRecognizer(),
        predefined.MacAddressRecognizer(),
        predefined.NhsRecognizer(),
        predefined.PhoneRecognizer(supported_regions=("US", "GB", "CA", "DE", "FR", "IN")),
        predefined.UkNinoRecognizer(),
        predefined.UsBankRecognizer(),
        predefined.UsItinRecognizer(),
        predefined.UsLicenseRecognizer(),
        predefined.UsPassportRecognizer(),
        predefined.UsSsnRecognizer(),
    ]


def luhn_fits(number: str) -> bool:
    """Whether the digits of a number obey the Luhn formula (ISO/IEC 7812-1)."""
    digits = [int(sign) for sign in reversed(number) if sign.isdigit()]
    return sum(sum(divmod(digit * 2, 10)) if place % 2 else digit for place, digit in enumerate(digits)) % 10 == 0


_LETTERS = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", [*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)], strict=True))
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def vehicle_checksum_fits(number: str) -> bool:
    """Whether the check digit of a 17-character vehicle identification number fits (49 CFR 565.15)."""
    total = sum(
        weight * (int(sign) if sign.isdigit() else _LETTERS[sign])
        for sign, weight in zip(number, _WEIGHTS, strict=True)
    )
    return number[8] == ("X" if total % 11 == 10 else str(total % 11))


_loading = threading.Lock()


def personal_model() -> PersonalModel:
    """The model, loaded once a process, in about 1 s on top of the English pipeline."""
    with _loading:
        return _load()


@functools.cache
def _load() -> PersonalModel:
    return PersonalModel(english_model())
