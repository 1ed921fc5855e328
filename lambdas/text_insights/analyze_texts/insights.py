"""Many texts through Comprehend's batch operations: few calls, and a result or a reason for each text.

Sizes and counts: 25 texts a batch call, 5,000 bytes of UTF-8 each (Amazon Comprehend Developer Guide, "Guidelines and
quotas": 25 documents, 5 KB; the service's own error says 5000 bytes; read 2026-11-25). Personal data is looked for
text by text, as there is no batch operation for it, in English and Spanish ("Languages supported in Amazon
Comprehend", read 2026-11-25).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.shared.deadline import OutOfTimeError
from lambdas.text_insights.analyze_texts.errors import Failure, Refusal, error_code, error_message, failure_of
from lambdas.text_insights.analyze_texts.messages import Text

MOST_TEXTS = 25
MOST_BYTES = 5_000
PERSONAL_LANGUAGES = ("en", "es")

# Answers that say something of the text; another attempt would get the same one. First as errors of a call, then as
# the codes of one text in a batch, which the API Reference does not list: they are such errors in another spelling.
OF_THE_TEXT = ("InvalidRequestException", "TextSizeLimitExceededException", "UnsupportedLanguageException")
OF_THE_ITEM = ("INVALID_REQUEST", "TEXT_SIZE_LIMIT_EXCEEDED", "UNSUPPORTED_LANGUAGE")

Outcome = dict[str, Any] | Refusal | Failure
Members = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is looked for.

    languages      codes that are analysed; a text in another is refused
    personal_data  ignored: not looked for. marked: type and place are kept. masked: what lies where personal data is
                   keeps no words, and where none can be looked for, nothing does
    most_findings  entities, phrases and personal data of a text that are kept, of each kind
    """

    languages: tuple[str, ...]
    personal_data: str
    most_findings: int


class Analyst:
    """Asks Comprehend. `client` is its boto3 client."""

    def __init__(self, client: Any, wanted: Wanted) -> None:
        self._client = client
        self._wanted = wanted

    def analyse(self, texts: Iterable[Text]) -> dict[Text, Outcome]:
        """What became of each text: its insights as attributes of a row, a refusal, or a failure."""
        known: dict[Text, Members] = {}
        outcomes: dict[Text, Outcome] = {}
        for text in texts:
            if refusal := _refused(text):
                outcomes[text] = refusal
            else:
                known[text] = {}
        self._find_languages(known, outcomes)
        for language in sorted({known[text]["language"]["code"] for text in known}):
            group = {text: known[text] for text in known if known[text]["language"]["code"] == language}
            self._gather(group, language, outcomes)
        return outcomes

    def _find_languages(self, known: dict[Text, Members], outcomes: dict[Text, Outcome]) -> None:
        """Each text's language goes into `known`; texts without one that is analysed leave it."""
        for text, members in known.items():
            if text.language:
                members["language"] = {"code": text.language, "given": True}
        unknown = {text: known[text] for text in known if not text.language}
        self._ask(self._client.batch_detect_dominant_language, unknown, outcomes, _language)
        for text in list(known):
            if text in outcomes:
                del known[text]
            elif (language := known[text]["language"])["code"] not in self._wanted.languages:
                message = f"{language['code']} is not among the languages of this stack."
                outcomes[text] = Refusal("UnsupportedLanguage", message, language)
                del known[text]

    def _gather(self, group: dict[Text, Members], language: str, outcomes: dict[Text, Outcome]) -> None:
        """All insights of the texts of one language."""
        most = self._wanted.most_findings
        for operation, kept in (
            (self._client.batch_detect_sentiment, _sentiment),
            (self._client.batch_detect_entities, lambda item: _findings("entities", item["Entities"], most)),
            (self._client.batch_detect_key_phrases, lambda item: _findings("key_phrases", item["KeyPhrases"], most)),
        ):
            self._ask(operation, group, outcomes, kept, LanguageCode=language)
        if self._wanted.personal_data != "ignored":
            self._look_for_personal_data(group, language, outcomes)
        for text, members in group.items():
            if text not in outcomes:
                outcomes[text] = {**members, "size": text.size}

    def _ask(
        self,
        operation: Callable[..., Any],
        known: dict[Text, Members],
        outcomes: dict[Text, Outcome],
        kept: Callable[[Members], Members],
        **arguments: str,
    ) -> None:
        """One operation for all texts that have no outcome yet, in as few calls as it takes."""
        for batch in _batches([text for text in known if text not in outcomes]):
            try:
                answer = operation(TextList=[text.text for text in batch], **arguments)
            except (ClientError, BotoCoreError, OutOfTimeError) as error:
                if error_code(error) not in OF_THE_TEXT:
                    outcomes.update(dict.fromkeys(batch, failure_of(error)))
                elif len(batch) == 1:
                    outcomes[batch[0]] = _refusal(error, known[batch[0]])
                else:
                    # The call was refused for one of them: each is asked about alone, so that the others go through.
                    for text in batch:
                        self._ask(operation, {text: known[text]}, outcomes, kept, **arguments)
                continue
            missing = Failure("NoAnswer", "The service answered, but not for this text.", _request_id(answer))
            outcomes.update(dict.fromkeys(batch, missing))
            for item in answer["ResultList"]:
                del outcomes[batch[item["Index"]]]
                known[batch[item["Index"]]] |= kept(item)
            for item in answer["ErrorList"]:
                outcomes[batch[item["Index"]]] = _item_outcome(item, known[batch[item["Index"]]], answer)

    def _look_for_personal_data(self, group: dict[Text, Members], language: str, outcomes: dict[Text, Outcome]) -> None:
        most = self._wanted.most_findings
        masked = self._wanted.personal_data == "masked"
        for text, members in group.items():
            if text in outcomes:
                continue
            if language not in PERSONAL_LANGUAGES:
                members["personal_data_sought"] = False
                if masked:
                    _mask(members, [(0, len(text.text))])
                continue
            try:
                found = self._client.detect_pii_entities(Text=text.text, LanguageCode=language)["Entities"]
            except (ClientError, BotoCoreError, OutOfTimeError) as error:
                refused = error_code(error) in OF_THE_TEXT
                outcomes[text] = _refusal(error, members) if refused else failure_of(error)
                continue
            members.update(_findings("personal_data", found, most))
            members["personal_data_sought"] = True
            if masked:
                _mask(members, [(one["BeginOffset"], one["EndOffset"]) for one in found])


def _refused(text: Text) -> Refusal | None:
    if not text.text.strip():
        return Refusal("EmptyText", "There is nothing but space in the text.")
    if text.size > MOST_BYTES:
        return Refusal("TextTooLarge", f"{text.size} bytes of UTF-8 are more than the {MOST_BYTES} that are analysed.")
    return None


def _refusal(error: BaseException, members: Members) -> Refusal:
    return Refusal(error_code(error).removesuffix("Exception"), error_message(error), members.get("language"))


def _item_outcome(item: Members, members: Members, answer: Members) -> Refusal | Failure:
    code, message = str(item.get("ErrorCode", "Unknown")), str(item.get("ErrorMessage", ""))[:1000]
    if code in OF_THE_ITEM:
        return Refusal(code, message, members.get("language"))
    return Failure(code, message, _request_id(answer))


def _request_id(answer: Members) -> str:
    return str(answer.get("ResponseMetadata", {}).get("RequestId", ""))


def _batches(texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
    for start in range(0, len(texts), MOST_TEXTS):
        yield texts[start : start + MOST_TEXTS]


def _language(item: Members) -> Members:
    likeliest = max(item["Languages"], key=lambda one: one["Score"])
    return {"language": {"code": likeliest["LanguageCode"], "score": _number(likeliest["Score"]), "given": False}}


def _sentiment(item: Members) -> Members:
    scores = {name.lower(): _number(score) for name, score in item["SentimentScore"].items()}
    return {"sentiment": item["Sentiment"], "sentiment_scores": scores}


def _findings(name: str, found: Sequence[Members], most: int) -> Members:
    """The first `most` findings in the order of the text, under this name, and how many were left out."""
    kept = [
        {
            "begin": one["BeginOffset"],
            "end": one["EndOffset"],
            "score": _number(one["Score"]),
            **({"type": one["Type"]} if "Type" in one else {}),
            **({"text": one["Text"]} if "Text" in one else {}),
        }
        for one in found[:most]
    ]
    return {name: kept, f"{name}_left_out": max(len(found) - most, 0)}


def _mask(members: Members, places: Sequence[tuple[int, int]]) -> None:
    """Takes the words from the findings that touch one of these places; type and place stay."""
    for name in ("entities", "key_phrases"):
        for one in members[name]:
            if any(begin < one["end"] and one["begin"] < end for begin, end in places):
                del one["text"]


def _number(value: float) -> Decimal:
    """As DynamoDB takes it, in four digits: more says nothing."""
    return Decimal(str(round(value, 4)))
