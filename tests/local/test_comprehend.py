"""Comprehend: what it finds follows the text, at the places that it says, within the service's limits."""

# ruff: noqa: RUF001 (texts in their own scripts)

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import faults
from local.services.comprehend import ENTITY_TYPES, Comprehend
from local.services.models.language import english_model, language_model, mood_model, pieces
from local.services.wire import service_model
from tests.local.standin import FakeCaller, client_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def comprehend() -> Any:
    """A boto3 client of the stand-in."""
    return client_of(Comprehend(), FakeCaller())[0]


def sentiment(comprehend: Any, text: str) -> str:
    answer = comprehend.detect_sentiment(Text=text, LanguageCode="en")
    scores = answer["SentimentScore"]
    assert sum(scores.values()) == pytest.approx(1)
    assert all(0 <= score <= 1 for score in scores.values())
    assert answer["Sentiment"].title() == max(scores, key=lambda name: scores[name])
    return str(answer["Sentiment"])


def entities(comprehend: Any, text: str) -> dict[str, str]:
    found = comprehend.detect_entities(Text=text, LanguageCode="en")["Entities"]
    for one in found:
        assert text[one["BeginOffset"] : one["EndOffset"]] == one["Text"]
        assert 0 < one["Score"] <= 1
    return {one["Text"]: one["Type"] for one in found}


# --- language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The breakfast was cold and the coffee was worse.", "en"),
        ("Das Frühstück war kalt, der Kaffee war noch schlimmer.", "de"),
        ("Le petit déjeuner était froid et le café encore pire.", "fr"),
        ("El desayuno estaba frío y el café era aún peor.", "es"),
        ("朝食は冷たくて、コーヒーはもっとひどかったです。", "ja"),
        ("Завтрак был холодным, а кофе ещё хуже.", "ru"),
        ("早餐是凉的，咖啡更糟糕，我们问了服务员，他说没有时间。", "zh"),
        ("早餐是涼的，咖啡更糟糕，我們問了服務員，他說沒有時間。", "zh-TW"),
        ("Frokosten var kald, og kaffen var enda verre. Jeg ble ikke fornøyd.", "nb"),
    ],
)
def test_the_language_of_a_text_is_told(comprehend: Any, text: str, code: str) -> None:
    # Given a text in some language
    # When its language is asked for
    found = comprehend.detect_dominant_language(Text=text)["Languages"]
    # Then the likeliest is that one, and the scores are probabilities
    assert found[0]["LanguageCode"] == code
    assert sum(one["Score"] for one in found) <= 1.001
    assert [one["Score"] for one in found] == sorted((one["Score"] for one in found), reverse=True)


def test_a_text_without_words_is_still_given_a_language(comprehend: Any) -> None:
    # Given a text of figures alone
    # When its language is asked for
    found = comprehend.detect_dominant_language(Text="1 2 3 4 5 6 7 8 9 10 11 12")["Languages"]
    # Then there is one, of little score, and it is a language
    assert found
    assert found[0]["LanguageCode"] != "zxx"
    assert found[0]["Score"] < 0.9


# --- sentiment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The staff were friendly and the room was wonderful.", "POSITIVE"),
        ("The room was dirty and nobody helped us. Terrible.", "NEGATIVE"),
        ("The train leaves at ten from platform four.", "NEUTRAL"),
        ("The room was lovely, but the food was awful.", "MIXED"),
        ("I loved the pool. I hated the noise at night.", "MIXED"),
        ("😀 Great stay!", "POSITIVE"),
    ],
)
def test_the_mood_of_a_text_is_told(comprehend: Any, text: str, expected: str) -> None:
    # Given a text with a mood, When it is judged, Then that is it, and the scores add up
    assert sentiment(comprehend, text) == expected


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("The food was good.", "The food was not good."),
        ("I would recommend this hotel.", "I would never recommend this hotel."),
        ("It was a disaster.", "It was not a disaster."),
    ],
)
def test_a_negation_turns_the_mood(comprehend: Any, text: str, turned: str) -> None:
    # Given a text and its negation
    # When both are judged
    scores = [comprehend.detect_sentiment(Text=one, LanguageCode="en")["SentimentScore"] for one in (text, turned)]
    # Then they pull different ways
    leans = [one["Positive"] - one["Negative"] for one in scores]
    assert leans[0] * leans[1] < 0


def test_more_of_one_side_makes_a_mixed_text_lean(comprehend: Any) -> None:
    # Given a text that praises and blames alike, then praise upon praise
    mixed = "I loved the pool. I hated the noise."
    # When both are judged, Then the second is positive, with a rest of mixed
    assert sentiment(comprehend, mixed) == "MIXED"
    praised = f"{mixed} The staff were great. The food was excellent. The view is beautiful."
    scores = comprehend.detect_sentiment(Text=praised, LanguageCode="en")["SentimentScore"]
    assert sentiment(comprehend, praised) == "POSITIVE"
    assert scores["Mixed"] > 0


# --- entities, phrases, syntax


def test_entities_follow_the_names_in_the_text(comprehend: Any) -> None:
    # Given a sentence with a name, a place and a date, and the same sentence with others
    text = "{} flew from {} to Berlin on {} and paid 300 dollars."
    first = entities(comprehend, text.format("Maria Lopez", "Madrid", "5 June 2024"))
    second = entities(comprehend, text.format("Peter Novak", "Prague", "8 May 2023"))
    # When they are read
    # Then each has its own
    assert first["Maria Lopez"] == second["Peter Novak"] == "PERSON"
    assert first["Madrid"] == second["Prague"] == "LOCATION"
    assert first["5 June 2024"] == second["8 May 2023"] == "DATE"
    assert "QUANTITY" in first.values()
    assert not {"Maria Lopez", "Madrid", "5 June 2024"} & second.keys()


def test_every_type_of_the_model_has_one_of_the_service() -> None:
    # Given the types that the recognizer can give, and those of the service
    labels = set(english_model().pipeline.get_pipe("ner").labels)
    types = set(service_model("comprehend").shape_for("EntityType").metadata["enum"])
    # When they are compared with the table
    # Then each of the model's is in it, and nothing that the service has not
    assert labels == set(ENTITY_TYPES)
    assert set(ENTITY_TYPES.values()) <= types


def test_an_unlikely_name_scores_lower(comprehend: Any) -> None:
    # Given a plain name and a word that is hardly one
    sure, unsure = (
        comprehend.detect_entities(Text=text, LanguageCode="en")["Entities"]
        for text in ("Angela Merkel met Barack Obama in Berlin.", "She read Hamlet on her phone.")
    )
    # When they are read, Then the recognizer's own doubt shows
    assert min(one["Score"] for one in sure) > 0.9
    assert all(one["Score"] < 0.9 for one in unsure)


def test_key_phrases_are_the_noun_phrases(comprehend: Any) -> None:
    # Given a sentence
    text = "She said that the quick brown fox jumped over the lazy dog near Lake Geneva."
    # When its phrases are asked for
    found = comprehend.detect_key_phrases(Text=text, LanguageCode="en")["KeyPhrases"]
    # Then they are there where they say, without the bare pronoun
    assert [one["Text"] for one in found] == ["the quick brown fox", "the lazy dog", "Lake Geneva"]
    assert all(text[one["BeginOffset"] : one["EndOffset"]] == one["Text"] for one in found)


def test_syntax_gives_every_word_its_part_of_speech(comprehend: Any) -> None:
    # Given a sentence
    text = "She quickly left two old hotels."
    # When its syntax is asked for
    found = comprehend.detect_syntax(Text=text, LanguageCode="en")["SyntaxTokens"]
    # Then words and tags are in their order
    tags = [(one["Text"], one["PartOfSpeech"]["Tag"]) for one in found]
    assert tags == [
        ("She", "PRON"),
        ("quickly", "ADV"),
        ("left", "VERB"),
        ("two", "NUM"),
        ("old", "ADJ"),
        ("hotels", "NOUN"),
        (".", "PUNCT"),
    ]
    assert [one["TokenId"] for one in found] == list(range(1, 8))


def test_offsets_count_characters_not_bytes(comprehend: Any) -> None:
    # Given a text whose characters take one to four bytes, and a combining one
    text = "🎉 Übergrößen in Zürich? Café — Angela Merkel lives in Berlin."
    # When it is read
    found = comprehend.detect_entities(Text=text, LanguageCode="en")["Entities"]
    # Then offsets are those of Unicode code points
    places = {one["Text"]: (one["BeginOffset"], one["EndOffset"]) for one in found}
    assert places["Angela Merkel"] == (text.index("Angela"), text.index(" lives"))
    assert places["Berlin"][0] == text.index("Berlin")


def test_a_long_text_is_read_to_its_end(comprehend: Any) -> None:
    # Given a text of many pieces with a name at its end
    text = "Nothing happened that day, they say. " * 1_000 + "Angela Merkel lives in Berlin."
    # When it is read
    found = comprehend.detect_entities(Text=text, LanguageCode="en")["Entities"]
    # Then the name is found, where it stands
    last = next(one for one in found if one["Text"] == "Angela Merkel")
    assert text[last["BeginOffset"] : last["EndOffset"]] == "Angela Merkel"


@pytest.mark.parametrize("text", ["", "short", "a. b. c. " * 50, "x" * 100, "word " * 30, "one\ntwo\n" * 20])
def test_pieces_join_to_the_text(text: str) -> None:
    # Given a text, When it is cut, Then nothing is lost, no piece is too long, and offsets are right
    cut = list(pieces(text, 20))
    assert "".join(piece for _, piece in cut) == text
    assert all(len(piece) <= 20 and text[start:].startswith(piece) for start, piece in cut)


# --- limits and errors


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


SMALL = ["detect_sentiment", "detect_syntax"]
LARGE = ["detect_entities", "detect_key_phrases", "detect_pii_entities", "contains_pii_entities"]


@pytest.mark.parametrize(("operation", "limit"), [*((one, 5_000) for one in SMALL), *((one, 100_000) for one in LARGE)])
def test_a_text_over_the_limit_is_refused(comprehend: Any, operation: str, limit: int) -> None:
    # Given a text of one byte more than the operation takes, few characters though it has
    text = "é" * (limit // 2) + "!"
    # When it is sent, Then the service's error names both sizes
    with pytest.raises(ClientError) as error:
        getattr(comprehend, operation)(Text=text, LanguageCode="en")
    assert code_of(error) == "TextSizeLimitExceededException"
    assert f"allowed is {limit} bytes" in str(error.value)
    assert f"text size is {limit + 1} bytes" in str(error.value)


def test_a_text_at_the_limit_is_taken(comprehend: Any) -> None:
    # Given texts of exactly the limits
    # When they are sent, Then they are read
    assert comprehend.detect_sentiment(Text="good " * 1_000, LanguageCode="en")["Sentiment"] == "POSITIVE"
    assert comprehend.detect_dominant_language(Text="good day " * 11_111)["Languages"]


@pytest.mark.parametrize("text", [" ", "\n\t "])
def test_a_blank_text_is_an_invalid_request(comprehend: Any, text: str) -> None:
    # Given a text of nothing but space, When it is sent, Then the request is invalid
    with pytest.raises(ClientError) as error:
        comprehend.detect_sentiment(Text=text, LanguageCode="en")
    assert code_of(error) == "InvalidRequestException"


def test_a_language_that_the_service_does_not_have_is_refused(comprehend: Any) -> None:
    # Given languages outside the service's list, and one in which it finds no personal data
    # When they are asked for, Then the errors are the service's own
    with pytest.raises(ClientError) as error:
        comprehend.detect_sentiment(Text="Завтрак был холодным", LanguageCode="ru")
    assert code_of(error) == "ValidationException"
    with pytest.raises(ClientError) as error:
        comprehend.detect_pii_entities(Text="Das Frühstück war kalt", LanguageCode="de")
    assert code_of(error) == "UnsupportedLanguageException"


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("detect_sentiment", {"Text": "Das war gut", "LanguageCode": "de"}),
        ("detect_pii_entities", {"Text": "Me llamo Ana", "LanguageCode": "es"}),
        ("batch_detect_entities", {"TextList": ["Das war gut"], "LanguageCode": "de"}),
        ("detect_targeted_sentiment", {"Text": "Good food.", "LanguageCode": "en"}),
        (
            "detect_entities",
            {"Text": "x", "EndpointArn": "arn:aws:comprehend:us-east-1:000000000000:entity-recognizer-endpoint/x"},
        ),
        ("detect_entities", {"Bytes": b"%PDF-1.7", "LanguageCode": "en"}),
        ("list_endpoints", {}),
    ],
)
def test_what_no_model_can_answer_is_refused_and_not_made_up(
    comprehend: Any, operation: str, arguments: dict[str, Any]
) -> None:
    # Given something that Comprehend serves and this local cloud cannot
    # When it is asked for, Then the answer says so, and no SDK tries again
    with pytest.raises(ClientError, match="This local cloud does not serve") as error:
        getattr(comprehend, operation)(**arguments)
    assert code_of(error) == "NotImplemented"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


# --- batches

BATCHES = {
    "batch_detect_dominant_language": {},
    "batch_detect_entities": {"LanguageCode": "en"},
    "batch_detect_key_phrases": {"LanguageCode": "en"},
    "batch_detect_sentiment": {"LanguageCode": "en"},
    "batch_detect_syntax": {"LanguageCode": "en"},
}


@pytest.mark.parametrize(("operation", "arguments"), BATCHES.items())
def test_what_is_wrong_with_one_text_of_a_batch_is_told_of_that_one(
    comprehend: Any, operation: str, arguments: dict[str, str]
) -> None:
    # Given good texts with a blank and a large one between them
    texts = ["The food was good.", " ", "Angela Merkel came.", "é" * 2_501, "The rain was terrible."]
    # When they are sent together
    answer = getattr(comprehend, operation)(TextList=texts, **arguments)
    # Then the good ones have results by their index, and the others errors by theirs
    assert [one["Index"] for one in answer["ResultList"]] == [0, 2, 4]
    errors = [(one["Index"], one["ErrorCode"]) for one in answer["ErrorList"]]
    assert errors == [(1, "INVALID_REQUEST"), (3, "TEXT_SIZE_LIMIT_EXCEEDED")]
    # and each result is what the text alone gets
    single = getattr(comprehend, operation.removeprefix("batch_"))
    for one in answer["ResultList"]:
        alone = single(Text=texts[one["Index"]], **arguments)
        alone.pop("ResponseMetadata")
        assert {name: value for name, value in one.items() if name != "Index"} == alone


@pytest.mark.parametrize(("operation", "arguments"), BATCHES.items())
def test_a_text_of_a_batch_fails_alone_when_it_is_asked_to(
    comprehend: Any, operation: str, arguments: dict[str, str]
) -> None:
    # Given a fault for one text
    name = "".join(word.title() for word in operation.split("_"))
    rule = faults.add(service="comprehend", operation=name, kind="fail-item", times=1)
    try:
        # When two are sent together
        answer = getattr(comprehend, operation)(TextList=["It rains today.", "It was good."], **arguments)
    finally:
        faults.clear(rule)
    # Then the first is an error, and the other has its result
    (error,) = answer["ErrorList"]
    assert (error["Index"], error["ErrorCode"], bool(error["ErrorMessage"])) == (0, "INTERNAL_SERVER_ERROR", True)
    assert [one["Index"] for one in answer["ResultList"]] == [1]


@pytest.mark.parametrize(("operation", "arguments"), BATCHES.items())
def test_a_batch_has_25_texts_at_most(comprehend: Any, operation: str, arguments: dict[str, str]) -> None:
    # Given 25 texts, and one more
    call = getattr(comprehend, operation)
    # When they are sent, Then 25 are taken and 26 refused as a whole
    assert len(call(TextList=["It rains today."] * 25, **arguments)["ResultList"]) == 25
    with pytest.raises(ClientError) as error:
        call(TextList=["It rains today."] * 26, **arguments)
    assert code_of(error) == "BatchSizeLimitExceededException"


# --- the models


def test_models_are_loaded_by_the_first_call_and_no_sooner() -> None:
    # Given a new process that imports all services and asks for a mood alone
    code = (
        "import sys; import local.services; from local.services.comprehend import Comprehend;"
        "assert not {'spacy', 'presidio_analyzer', 'py3langid', 'vaderSentiment'} & set(sys.modules);"
        "from tests.local.standin import FakeCaller, client_of; client = client_of(Comprehend(), FakeCaller())[0];"
        "client.detect_sentiment(Text='good', LanguageCode='en');"
        "print(sorted({'spacy', 'presidio_analyzer', 'py3langid', 'vaderSentiment'} & set(sys.modules)))"
    )
    # When it has run, Then only that model was loaded
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['vaderSentiment']"


def test_a_model_is_shared_by_all_who_ask_at_once(comprehend: Any) -> None:
    # Given texts of several callers at once
    texts = [f"{name} lives in Berlin." for name in ("Angela Merkel", "Barack Obama", "Maria Lopez", "Peter Novak")]
    with ThreadPoolExecutor(4) as pool:
        # When they are read
        models = list(pool.map(lambda _: (english_model(), mood_model(), language_model()), range(8)))
        found = list(pool.map(lambda text: entities(comprehend, text), texts * 3))
    # Then there is one model of each, and nobody has another's answer
    assert len(set(models)) == 1
    for text, names in zip(texts * 3, found, strict=True):
        assert names == {text.removesuffix(" lives in Berlin."): "PERSON", "Berlin": "LOCATION"}
