"""Amazon Comprehend's operations on one text or on up to 25, with small real models.

What is real: each answer comes from the text. What is not: the models know less than Comprehend's.

* The dominant language is py3langid's, of 127. Its codes are turned into Comprehend's; traditional Chinese is told from
  simplified by its characters.
* Sentiment is VADER's, a lexicon with rules. It knows no irony.
* Entities, key phrases and syntax are spaCy's small English pipeline's. Its 18 types of entities become Comprehend's
  nine (see `ENTITY_TYPES`); brand and product names are its weak side.
* Personal data: see `local/services/models/personal.py` for what is found, and what is not.

Scores are the models' own probabilities where they give any; each model's docstring says. Apart from the dominant
language everything here is English. Comprehend serves eleven more languages: for those this local cloud answers
NotImplemented (501), as it would have to make the answer up. A language that Comprehend itself does not serve for an
operation gets the service's own error.

Custom models (`EndpointArn`), documents that are not plain text (`Bytes`), targeted sentiment, classification and the
asynchronous jobs are not served, and the error says so.

Sources, read 2026-11-25: "Guidelines and quotas", "Languages supported in Amazon Comprehend", "Entities" and "Dominant
language", Amazon Comprehend Developer Guide; "Entity" in the API Reference, whose SDK versions say what an offset
counts: UTF-8 code points from 0. The limits are published as 5 KB and 100 KB; the service's error says 5000 and 100000
bytes. Its message is quoted in many bug reports.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from local.emulator import faults
from local.services.wire import Caller, JsonService, Operation, ServiceError

if TYPE_CHECKING:
    from local.services.models.language import Mood, Span

Request = Mapping[str, Any]
Members = dict[str, Any]
Analysis = Callable[[str], Members]

# Bytes of UTF-8, for one text. Sentiment and syntax take small texts only, as do all batch operations.
SMALL_TEXT_BYTES = 5_000
LARGE_TEXT_BYTES = 100_000
BATCH_TEXTS = 25

KNOWN_LANGUAGE = "en"
# Comprehend finds personal data in these.
PERSONAL_LANGUAGES = ("en", "es")

# spaCy's types (OntoNotes 5) as Comprehend's. NORP (nationalities, groups), LAW and LANGUAGE have no closer one.
ENTITY_TYPES = {
    "CARDINAL": "QUANTITY",
    "DATE": "DATE",
    "EVENT": "EVENT",
    "FAC": "LOCATION",
    "GPE": "LOCATION",
    "LANGUAGE": "OTHER",
    "LAW": "OTHER",
    "LOC": "LOCATION",
    "MONEY": "QUANTITY",
    "NORP": "OTHER",
    "ORDINAL": "QUANTITY",
    "ORG": "ORGANIZATION",
    "PERCENT": "QUANTITY",
    "PERSON": "PERSON",
    "PRODUCT": "COMMERCIAL_ITEM",
    "QUANTITY": "QUANTITY",
    "TIME": "DATE",
    "WORK_OF_ART": "TITLE",
}

# Languages less likely than this are left out, as Comprehend lists only those that it sees in the text.
LOWEST_LANGUAGE_SCORE = 0.05
# py3langid's code where Comprehend has another.
_LANGUAGE_CODES = {"no": "nb"}
# Some of the commonest characters that look otherwise in traditional and in simplified writing.
_TRADITIONAL = frozenset("這個們來時說為國會對過還後學長問間東車馬門話語書見實現發點電樣無愛讓歡氣團體錯")
_SIMPLIFIED = frozenset("这个们来时说为国会对过还后学长问间东车马门话语书见实现发点电样无爱让欢气团体错") - _TRADITIONAL


class Comprehend(JsonService):
    """The synchronous operations on plain text."""

    name: ClassVar[str] = "comprehend"
    iam_namespace: ClassVar[str] = "comprehend"
    target_prefix: ClassVar[str] = "Comprehend_20171127"

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "BatchDetectDominantLanguage": _batch("BatchDetectDominantLanguage", _languages, None),
            "BatchDetectEntities": _batch("BatchDetectEntities", _entities, "entities"),
            "BatchDetectKeyPhrases": _batch("BatchDetectKeyPhrases", _key_phrases, "key phrases"),
            "BatchDetectSentiment": _batch("BatchDetectSentiment", _sentiment, "sentiment"),
            "BatchDetectSyntax": _batch("BatchDetectSyntax", _syntax, "syntax"),
            "ContainsPiiEntities": _single(_personal_labels, LARGE_TEXT_BYTES, "personal data", PERSONAL_LANGUAGES),
            "DetectDominantLanguage": _single(_languages, LARGE_TEXT_BYTES, None),
            "DetectEntities": detect_entities,
            "DetectKeyPhrases": _single(_key_phrases, LARGE_TEXT_BYTES, "key phrases"),
            "DetectPiiEntities": _single(_personal_entities, LARGE_TEXT_BYTES, "personal data", PERSONAL_LANGUAGES),
            "DetectSentiment": _single(_sentiment, SMALL_TEXT_BYTES, "sentiment"),
            "DetectSyntax": _single(_syntax, SMALL_TEXT_BYTES, "syntax"),
        }


def detect_entities(request: Request, caller: Caller) -> Members:
    """Entities of a plain text. Raises ServiceError."""
    for member in ("Bytes", "DocumentReaderConfig", "EndpointArn"):
        if member in request:
            raise _not_served(f"{member} of DetectEntities: it reads plain text with the built-in model only")
    if not {"Text", "LanguageCode"} <= request.keys():
        raise ServiceError("InvalidRequestException", "Text and LanguageCode are required.")
    return _single(_entities, LARGE_TEXT_BYTES, "entities")(request, caller)


def _single(
    analysis: Analysis, limit: int, what: str | None, offered: Sequence[str] | None = None
) -> Callable[[Request, Caller], Members]:
    """An operation on one text of at most `limit` bytes.

    `what` names the finding where it needs a language, `offered` the languages in which Comprehend gives it, if those
    are fewer than the service model's.
    """

    def operation(request: Request, caller: Caller) -> Members:
        del caller
        _check_language(request, what, offered)
        if (problem := _problem(request["Text"], limit)) is not None:
            raise problem
        return analysis(request["Text"])

    return operation


def _batch(name: str, analysis: Analysis, what: str | None) -> Operation:
    """An operation on up to 25 texts of at most 5,000 bytes each. What is wrong with one is told in the error list.

    A text may fail by a fault, too (`fail-item`).
    """

    def operation(request: Request, caller: Caller) -> Members:
        del caller
        _check_language(request, what)
        texts: list[str] = request["TextList"]
        if len(texts) > BATCH_TEXTS:
            raise ServiceError(
                "BatchSizeLimitExceededException",
                f"The number of documents in the request exceeds the limit of {BATCH_TEXTS}. "
                "Try your request again with fewer documents.",
            )
        results, errors = [], []
        for index, text in enumerate(texts):
            error = _problem(text, SMALL_TEXT_BYTES)
            if error is not None:
                code = _ITEM_CODES[error.code]
                errors.append({"Index": index, "ErrorCode": code, "ErrorMessage": error.message})
            elif (fault := faults.pick_item(Comprehend.name, name)) is not None:
                message = "Internal error (a fault that was asked for)"
                errors.append({"Index": index, "ErrorCode": fault.code or _FAILED_ITEM, "ErrorMessage": message})
            else:
                results.append({"Index": index, **analysis(text)})
        return {"ResultList": results, "ErrorList": errors}

    return operation


# Batch items name their errors otherwise than the operations: as the names of constants.
_ITEM_CODES = {
    "InvalidRequestException": "INVALID_REQUEST",
    "TextSizeLimitExceededException": "TEXT_SIZE_LIMIT_EXCEEDED",
}
_FAILED_ITEM = "INTERNAL_SERVER_ERROR"


def _check_language(request: Request, what: str | None, offered: Sequence[str] | None = None) -> None:
    if what is None:
        return
    code = request["LanguageCode"]
    if offered is not None and code not in offered:
        raise ServiceError(
            "UnsupportedLanguageException",
            f"Amazon Comprehend can't process the language of the input text: {what} in {code}. "
            f"It supports {', '.join(offered)}.",
        )
    if code != KNOWN_LANGUAGE:
        raise _not_served(f"{what} in the language {code}: its models read English (en) only")


def _problem(text: str, limit: int) -> ServiceError | None:
    """Why the service would not look at a text, if it would not."""
    if not text.strip():
        return ServiceError("InvalidRequestException", "Input text can not be empty.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return ServiceError("InvalidRequestException", "Input text is not UTF-8: it has half a surrogate pair.")
    if size > limit:
        return ServiceError(
            "TextSizeLimitExceededException",
            f"Input text size exceeds limit. Max length of request text allowed is {limit} bytes "
            f"while in this request the text size is {size} bytes",
        )
    return None


def _not_served(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"This local cloud does not serve {what}.", 501)


def _languages(text: str) -> Members:
    from local.services.models.language import language_model

    ranked = language_model().rank(text)
    likely = [(code, score) for code, score in ranked if score >= LOWEST_LANGUAGE_SCORE and code != "zxx"]
    # A text of figures and signs alone is in no language; Comprehend always names one.
    likely = likely or [next((code, score) for code, score in ranked if code != "zxx")]
    return {"Languages": [{"LanguageCode": _language_code(code, text), "Score": score} for code, score in likely]}


def _language_code(code: str, text: str) -> str:
    if code == "zh":
        signs = set(text)
        return "zh-TW" if len(signs & _TRADITIONAL) > len(signs & _SIMPLIFIED) else "zh"
    return _LANGUAGE_CODES.get(code, code)


def _sentiment(text: str) -> Members:
    from local.services.models.language import mood_model

    mood = mood_model().judge(text)
    scores = _scores(mood)
    return {"Sentiment": max(scores, key=lambda name: scores[name]).upper(), "SentimentScore": scores}


def _scores(mood: "Mood") -> dict[str, float]:
    return {"Positive": mood.positive, "Negative": mood.negative, "Neutral": mood.neutral, "Mixed": mood.mixed}


def _entities(text: str) -> Members:
    from local.services.models.language import english_model

    found = english_model().read(text).entities
    return {
        "Entities": [{**_place(one, text), "Type": ENTITY_TYPES[one.kind]} for one in found],
    }


def _key_phrases(text: str) -> Members:
    from local.services.models.language import english_model

    return {"KeyPhrases": [_place(one, text) for one in english_model().read(text).phrases]}


def _syntax(text: str) -> Members:
    from local.services.models.language import english_model

    return {
        "SyntaxTokens": [
            {
                "TokenId": number,
                "Text": text[one.begin : one.end],
                "BeginOffset": one.begin,
                "EndOffset": one.end,
                # Comprehend's O (other) is the universal tag X.
                "PartOfSpeech": {"Tag": "O" if one.kind == "X" else one.kind, "Score": one.score},
            }
            for number, one in enumerate(english_model().read(text).words, start=1)
        ]
    }


def _personal_entities(text: str) -> Members:
    return {
        "Entities": [
            {"Type": one.kind, "Score": one.score, "BeginOffset": one.begin, "EndOffset": one.end}
            for one in _personal(text)
        ]
    }


def _personal_labels(text: str) -> Members:
    surest: dict[str, float] = {}
    for one in _personal(text):
        surest[one.kind] = max(one.score, surest.get(one.kind, 0.0))
    return {"Labels": [{"Name": name, "Score": score} for name, score in surest.items()]}


def _personal(text: str) -> "Iterable[Span]":
    from local.services.models.personal import personal_model

    return personal_model().find(text)


def _place(one: "Span", text: str) -> Members:
    return {
        "Text": text[one.begin : one.end],
        "BeginOffset": one.begin,
        "EndOffset": one.end,
        "Score": one.score,
    }
