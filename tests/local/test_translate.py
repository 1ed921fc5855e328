"""Translate: terminologies are kept exactly, what is not known stays, and nothing else is claimed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import faults
from local.services import translate
from local.services.translate import Translate
from local.services.wire import service_model
from tests.local.standin import FakeCaller, client_of

HOTELS = b"en,es,de\nHotel Marisol,Hotel Marisol,Hotel Marisol\nfront desk,recepci\xc3\xb3n,Rezeption\n"
ROLE = "arn:aws:iam::000000000000:role/translator"


@pytest.fixture
def caller() -> FakeCaller:
    return FakeCaller()


@pytest.fixture
def client(caller: FakeCaller) -> Any:
    return client_of(Translate(), caller)[0]


def imported(client: Any, file: bytes = HOTELS, kind: str = "CSV", **data: str) -> Any:
    return client.import_terminology(
        Name="hotels", MergeStrategy="OVERWRITE", TerminologyData={"File": file, "Format": kind, **data}
    )["TerminologyProperties"]


def translated(client: Any, text: str, source: str = "en", target: str = "es", **more: Any) -> Any:
    return client.translate_text(Text=text, SourceLanguageCode=source, TargetLanguageCode=target, **more)


def started(client: Any, **request: Any) -> str:
    return str(
        client.start_text_translation_job(
            **{
                "InputDataConfig": {"S3Uri": "s3://texts/in/", "ContentType": "text/plain"},
                "OutputDataConfig": {"S3Uri": "s3://texts/out"},
                "DataAccessRoleArn": ROLE,
                "SourceLanguageCode": "en",
                "TargetLanguageCodes": ["es"],
                **request,
            }
        )["JobId"]
    )


def ended(client: Any, job: str) -> Any:
    deadline = time.monotonic() + 30
    while True:
        found = client.describe_text_translation_job(JobId=job)["TextTranslationJobProperties"]
        if found["JobStatus"] not in ("SUBMITTED", "IN_PROGRESS", "STOP_REQUESTED"):
            return found
        assert time.monotonic() < deadline
        time.sleep(0.02)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_the_prefix_of_its_targets_is_the_models() -> None:
    assert service_model("translate").metadata["targetPrefix"] == Translate.target_prefix


def test_words_of_the_table_are_translated_and_others_stay(client: Any) -> None:
    answer = translated(client, "Good morning. The zorblax was dirty.")
    assert answer["TranslatedText"] == "Buenos días. El zorblax era sucio."
    assert "AppliedTerminologies" not in answer


def test_a_terminology_keeps_names_that_are_translated_without_it(client: Any) -> None:
    # Given a name that begins with a word of the table
    text = "This is Hotel Marisol. Ask at the front desk, the hotel is good."
    without = translated(client, text)["TranslatedText"]
    # When the terminology is applied
    imported(client)
    answer = translated(client, text, TerminologyNames=["hotels"])
    # Then the name stays to the letter, the term is replaced, and both are reported; the rest is translated as before
    assert "Hotel Marisol" not in without
    assert "Hotel Marisol" in answer["TranslatedText"]
    assert "recepción" in answer["TranslatedText"]
    assert "hotel es bueno" in answer["TranslatedText"]
    [applied] = answer["AppliedTerminologies"]
    assert applied == {
        "Name": "hotels",
        "Terms": [
            {"SourceText": "Hotel Marisol", "TargetText": "Hotel Marisol"},
            {"SourceText": "front desk", "TargetText": "recepción"},
        ],
    }


def test_one_direction_or_all(client: Any) -> None:
    # Given terms from English, in one direction
    imported(client)
    one_way = translated(client, "La recepción", "es", "de", TerminologyNames=["hotels"])
    assert one_way["AppliedTerminologies"] == [{"Name": "hotels", "Terms": []}]
    # When the directions are all
    imported(client, Directionality="MULTI")
    # Then they serve between the other languages, too
    answer = translated(client, "recepción", "es", "de", TerminologyNames=["hotels"])
    assert answer["TranslatedText"] == "Rezeption"


def test_the_formats_hold_the_same_terms(client: Any) -> None:
    tsv = HOTELS.replace(b",", b"\t")
    tmx = (
        b'<?xml version="1.0"?><tmx version="1.4"><header srclang="en"/><body>'
        b'<tu><tuv xml:lang="en"><seg>Hotel Marisol</seg></tuv><tuv xml:lang="es"><seg>Hotel Marisol</seg></tuv></tu>'
        b"</body></tmx>"
    )
    for file, kind, terms in ((HOTELS, "CSV", 4), (tsv, "TSV", 4), (tmx, "TMX", 1)):
        found = imported(client, file, kind)
        assert (found["SourceLanguageCode"], found["TermCount"]) == ("en", terms)
        answer = translated(client, "This is Hotel Marisol", TerminologyNames=["hotels"])
        assert answer["TranslatedText"].endswith("Hotel Marisol")


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"en\nHotel\n",
        b"en,es\n",
        b"en,es\nonly one\n",
        b"\xff\xfe",
        b"en,es\n" + b"a" * 201 + b",b\n",
    ],
)
def test_a_terminology_without_sense_is_refused(client: Any, file: bytes) -> None:
    with pytest.raises(ClientError) as error:
        imported(client, file)
    assert code(error) == "InvalidParameterValueException"


def test_the_limit_is_of_bytes_not_of_characters(client: Any) -> None:
    assert translated(client, "a" * 10_000)["TranslatedText"] == "a" * 10_000
    for text in ("a" * 10_001, "é" * 5_001):
        with pytest.raises(ClientError) as error:
            translated(client, text)
        assert code(error) == "TextSizeLimitExceededException"


def test_the_source_is_detected_or_said_to_be_uncertain(client: Any) -> None:
    answer = translated(client, "Guten Tag, ich möchte bitte ein Zimmer mit Frühstück buchen.", "auto", "en")
    assert answer["SourceLanguageCode"] == "de"
    assert "room" in answer["TranslatedText"]
    with pytest.raises(ClientError) as error:
        translated(client, "12 34", "auto", "en")
    assert code(error) in {"DetectedLanguageLowConfidenceException", "UnsupportedLanguagePairException"}


def test_what_is_not_served_says_so(client: Any) -> None:
    with pytest.raises(ClientError) as error:
        translated(client, "hello", "en", "ja")
    assert code(error) == "UnsupportedLanguagePairException"
    with pytest.raises(ClientError) as error:
        translated(client, "hello", Settings={"Formality": "FORMAL"})
    assert code(error) == "NotImplemented"
    with pytest.raises(ClientError) as error:
        translated(client, "hello", TerminologyNames=["nowhere"])
    assert code(error) == "ResourceNotFoundException"
    served = {one["LanguageCode"] for one in client.list_languages()["Languages"]}
    assert served == {"auto", "de", "en", "es", "fr"}


def test_a_job_translates_a_folder_as_its_role_in_the_documented_layout(client: Any, caller: FakeCaller) -> None:
    # Given two documents, one of them no text, and one in a folder below
    imported(client)
    caller.objects["texts", "in/call.txt", None] = b"Hello from Hotel Marisol."
    caller.objects["texts", "in/bad.txt", None] = b"\xff\xfe\xfa"
    caller.objects["texts", "in/below/other.txt", None] = b"Hello"
    # When they are translated
    job = started(client, TerminologyNames=["hotels"], TargetLanguageCodes=["es", "de"], JobName="calls")
    found = ended(client, job)
    # Then the good one is there in both languages, the bad one is counted, and the job says that it had errors
    assert found["JobStatus"] == "COMPLETED_WITH_ERROR"
    assert found["JobDetails"] == {
        "TranslatedDocumentsCount": 1,
        "DocumentsWithErrorsCount": 1,
        "InputDocumentsCount": 2,
    }
    folder = f"out/000000000000-TranslateText-{job}/"
    assert found["OutputDataConfig"]["S3Uri"] == f"s3://texts/{folder}"
    assert caller.list_objects("texts", folder) == [
        f"{folder}de.call.txt",
        f"{folder}details/de.auxiliary-translation-details.json",
        f"{folder}details/es.auxiliary-translation-details.json",
        f"{folder}es.call.txt",
    ]
    result = caller.objects["texts", f"{folder}es.call.txt", None]
    assert isinstance(result, bytes)
    assert result.decode() == "Hola desde Hotel Marisol."
    details = caller.objects["texts", f"{folder}details/es.auxiliary-translation-details.json", None]
    assert isinstance(details, bytes)
    assert json.loads(details)["documentCountWithCustomerError"] == "1"
    # And it was done as the role, and EventBridge was told
    assert caller.assumed == [(ROLE, "translate.amazonaws.com")]
    assert caller.emitted == [
        (
            "aws.translate",
            "Translate TextTranslationJob State Change",
            {"jobId": job, "jobStatus": "COMPLETED_WITH_ERROR"},
            (),
        )
    ]


def test_a_job_without_documents_fails_with_a_message(client: Any) -> None:
    found = ended(client, started(client))
    assert found["JobStatus"] == "FAILED"
    assert "No documents" in found["Message"]


def test_the_same_token_is_the_same_job_and_a_job_can_be_made_to_fail(client: Any, caller: FakeCaller) -> None:
    caller.objects["texts", "in/a.txt", None] = b"hello"
    faults.add(service="translate", operation="StartTextTranslationJob", kind="fail-job", times=1)
    try:
        first = started(client, ClientToken="once")
        assert ended(client, first)["JobStatus"] == "FAILED"
        assert started(client, ClientToken="once") == first
        assert ended(client, started(client, ClientToken="twice"))["JobStatus"] == "COMPLETED"
    finally:
        faults.clear()
    listed = client.list_text_translation_jobs(Filter={"JobStatus": "FAILED"})["TextTranslationJobPropertiesList"]
    assert [one["JobId"] for one in listed] == [first]


def test_a_job_is_stopped_before_it_ends(client: Any, caller: FakeCaller) -> None:
    caller.objects["texts", "in/a.txt", None] = b"hello"
    faults.add(service="translate", operation="StartTextTranslationJob", kind="slow-job", seconds=0.5, times=1)
    try:
        job = started(client)
        assert client.stop_text_translation_job(JobId=job)["JobStatus"] == "STOP_REQUESTED"
        assert ended(client, job)["JobStatus"] == "STOPPED"
    finally:
        faults.clear()


def test_no_more_terminologies_than_an_account_may_have(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translate, "MAXIMUM_TERMINOLOGIES", 1)
    imported(client)
    imported(client)  # The same name is no other.
    with pytest.raises(ClientError) as error:
        client.import_terminology(
            Name="more", MergeStrategy="OVERWRITE", TerminologyData={"File": HOTELS, "Format": "CSV"}
        )
    assert code(error) == "LimitExceededException"
    client.delete_terminology(Name="hotels")
    with pytest.raises(ClientError) as error:
        client.get_terminology(Name="hotels")
    assert code(error) == "ResourceNotFoundException"
