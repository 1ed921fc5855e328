# ruff: noqa: RUF001 (pronunciations are written in the phonetic alphabet)
"""The Polly stand-in: real speech that follows the text, SSML, lexicons, tasks, and Polly's own errors."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from botocore.exceptions import ClientError

from local.emulator import faults
from local.services.polly import MOST_BILLED, MOST_BILLED_TASK, MOST_TOTAL, Polly
from local.services.wire import service_model
from tests.local.speaking import Speaker, client_of, heard, level, pitch, said, seconds, ssml, word_errors

TEXT = "The library opens at nine in the morning and closes at six in the evening."
BUCKET = "spoken-texts"
TOPIC = "arn:aws:sns:us-east-1:000000000000:ended"


@pytest.fixture
def polly() -> Any:
    return client_of(Polly())


@pytest.fixture
def no_faults() -> Iterator[None]:
    yield
    faults.clear()


def refusal(call: Any, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    answer: Any = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


# --- The sound follows the text ---


@pytest.mark.parametrize("voice", ["Joanna", "Matthew", "Joey", "Salli"])
def test_a_recogniser_understands_what_was_said(polly: Any, voice: str) -> None:
    # Given a simple English text
    text = "thank you for calling the support line my package has not arrived yet please send it again tomorrow morning"
    # When it is spoken and heard by a recogniser that knows nothing of the text
    errors = word_errors(text.split(), heard(said(polly, f"{text}.", VoiceId=voice)))
    # Then at most one word of five is misunderstood
    assert errors <= 0.2


def test_a_longer_text_lasts_longer(polly: Any) -> None:
    one, three = seconds(said(polly, TEXT)), seconds(said(polly, " ".join([TEXT] * 3)))
    assert 2.7 * one < three < 3.3 * one


def test_another_text_is_another_sound_and_the_same_text_the_same(polly: Any) -> None:
    first, again, other = said(polly, TEXT), said(polly, TEXT), said(polly, TEXT.replace("library", "factory"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[: len(other)], other[: len(first)])


def test_voices_differ_in_pitch_as_their_sex_says(polly: Any) -> None:
    pitches = {voice: pitch(said(polly, TEXT, VoiceId=voice)) for voice in ("Joanna", "Matthew", "Ivy")}
    assert pitches["Matthew"] < 0.75 * pitches["Joanna"] < pitches["Joanna"] < 0.85 * pitches["Ivy"]


def test_british_voices_pronounce_otherwise(polly: Any) -> None:
    # Given a word whose r is silent in British English, said by the same speaker in both
    # Then the sounds differ, though pitch and formants are the same
    american, british = (said(polly, "A garden party for my father.", VoiceId=voice) for voice in ("Joanna", "Amy"))
    assert not np.array_equal(american, british)


# --- SSML ---


def test_the_rate_changes_the_duration(polly: Any) -> None:
    plain = seconds(ssml(polly, TEXT))
    assert seconds(ssml(polly, f'<prosody rate="50%">{TEXT}</prosody>')) == pytest.approx(2 * plain, rel=0.15)
    assert seconds(ssml(polly, f'<prosody rate="fast">{TEXT}</prosody>')) == pytest.approx(plain / 1.3, rel=0.1)


def test_the_rate_of_one_word_changes_that_word_alone(polly: Any) -> None:
    plain = seconds(ssml(polly, "I will come on Saturday."))
    slow = seconds(ssml(polly, 'I will come on <prosody rate="40%">Saturday</prosody>.'))
    assert 0.3 < slow - plain < 2.0


@pytest.mark.parametrize(("change", "factor"), [("+30%", 1.3), ("-30%", 0.7), ("low", 0.8)])
def test_the_pitch_changes_the_fundamental_and_not_the_duration(polly: Any, change: str, factor: float) -> None:
    plain, changed = ssml(polly, TEXT), ssml(polly, f'<prosody pitch="{change}">{TEXT}</prosody>')
    assert pitch(changed) == pytest.approx(factor * pitch(plain), rel=0.05)
    assert len(changed) == len(plain)


def test_the_volume_changes_the_level(polly: Any) -> None:
    plain = level(ssml(polly, TEXT))
    assert level(ssml(polly, f'<prosody volume="-6dB">{TEXT}</prosody>')) == pytest.approx(plain / 2, rel=0.05)
    assert level(ssml(polly, f'<prosody volume="loud">{TEXT}</prosody>')) > 1.3 * plain
    assert level(ssml(polly, f'<prosody volume="silent">{TEXT}</prosody>')) == 0


def test_emphasis_is_louder_and_slower(polly: Any) -> None:
    plain, strong = ssml(polly, TEXT), ssml(polly, f'<emphasis level="strong">{TEXT}</emphasis>')
    assert level(strong) > 1.3 * level(plain)
    assert len(strong) > len(plain)


def test_a_break_is_as_much_silence_as_it_says(polly: Any) -> None:
    # Given the same sentences with a short and a long break
    short, long = (ssml(polly, f'One moment. <break time="{time}"/> Go on.') for time in ("500ms", "2.5s"))
    # Then the sound is longer by the difference, and the longest silence is the break at least
    assert seconds(long) - seconds(short) == pytest.approx(2.0, abs=0.01)
    loud = np.abs(long) > 0.005
    gaps = np.diff(np.flatnonzero(loud))
    assert gaps.max() / 16_000 >= 2.5


def test_paragraphs_and_sentences_pause(polly: Any) -> None:
    run_on = seconds(ssml(polly, "It rains. We stay."))
    sentences = seconds(ssml(polly, "<s>It rains.</s><s>We stay.</s>"))
    paragraphs = seconds(ssml(polly, "<p>It rains.</p><p>We stay.</p>"))
    assert run_on < sentences < paragraphs


@pytest.mark.parametrize(
    ("tagged", "plain"),
    [
        ('Room <say-as interpret-as="digits">47</say-as>.', "Room 4 7."),
        ('The <say-as interpret-as="ordinal">22</say-as> time.', "The 22nd time."),
        ('Made by <sub alias="World Wide Web Consortium">W3C</sub>.', "Made by World Wide Web Consortium."),
        ('Say <say-as interpret-as="characters">abc</say-as>.', "Say A, B, C."),
    ],
)
def test_what_is_written_one_way_is_said_another(polly: Any, tagged: str, plain: str) -> None:
    # Given a tag that changes what is said; then it lasts as long as the text that it stands for, not as its own
    assert seconds(ssml(polly, tagged)) == pytest.approx(seconds(said(polly, plain)), rel=0.12)


def test_a_pronunciation_is_followed(polly: Any) -> None:
    one, other = (
        ssml(polly, f'<phoneme alphabet="ipa" ph="{ipa}">pecan</phoneme>.') for ipa in ("pɪˈkɑːn", "ˈpiːkænˌpiːkæn")
    )
    assert seconds(other) > seconds(one) + 0.2


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("<speak>Hello <b>there</b></speak>", "there is no tag <b>"),
        ("<speak>Hello", "no element found"),
        ("Hello", "syntax error"),
        ("<p>Hello</p>", "begins with <p>, not <speak>"),
        ("<speak>\n<break time='20s'/>\n</speak>", "line 2, column 1: a break's time is 0s to 10s"),
        ("<speak><prosody rate='quick'>Hello</prosody></speak>", "rate is one of"),
        ("<speak><say-as interpret-as='poem'>Hello</say-as></speak>", "no interpret-as 'poem'"),
        ("<!DOCTYPE speak [<!ENTITY x 'y'>]><speak>&x;</speak>", "document type is not allowed"),
        ('<!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak>Hello</speak>', "document type is not allowed"),
    ],
)
def test_invalid_ssml_is_refused_with_its_place(polly: Any, document: str, problem: str) -> None:
    code, status, message = refusal(
        polly.synthesize_speech, Text=document, TextType="ssml", VoiceId="Joanna", OutputFormat="mp3"
    )
    assert (code, status) == ("InvalidSsmlException", 400)
    assert problem in message


@pytest.mark.parametrize(
    "inside",
    [
        '<amazon:effect name="whispered">Hello</amazon:effect>',
        '<lang xml:lang="fr-FR">Bonjour</lang>',
        '<say-as interpret-as="date">2026-11-25</say-as>',
        '<phoneme alphabet="x-sampa" ph="pI">p</phoneme>',
        '<phoneme ph="ʘ">p</phoneme>',
    ],
)
def test_what_polly_knows_and_this_cloud_does_not_is_not_served(polly: Any, inside: str) -> None:
    text = f"<speak>{inside}</speak>"
    code, status, _ = refusal(polly.synthesize_speech, Text=text, TextType="ssml", VoiceId="Joanna", OutputFormat="mp3")
    assert (code, status) == ("NotImplemented", 501)


def test_the_neural_engine_refuses_pitch_and_emphasis(polly: Any) -> None:
    for inside in ('<prosody pitch="low">Hello</prosody>', "<emphasis>Hello</emphasis>"):
        assert ssml(polly, inside).any()
        assert (
            refusal(
                polly.synthesize_speech,
                Text=f"<speak>{inside}</speak>",
                TextType="ssml",
                VoiceId="Joanna",
                OutputFormat="mp3",
                Engine="neural",
            )[0]
            == "InvalidSsmlException"
        )


# --- Formats, marks, limits ---


@pytest.mark.parametrize(
    ("output_format", "kind", "subtype", "content_type", "rate"),
    [
        ("mp3", "MP3", "MPEG_LAYER_III", "audio/mpeg", 22_050),
        ("ogg_vorbis", "OGG", "VORBIS", "audio/ogg", 22_050),
        ("ogg_opus", "OGG", "OPUS", "audio/ogg", 48_000),
    ],
)
def test_a_file_decodes_as_its_format_says(
    polly: Any, output_format: str, kind: str, subtype: str, content_type: str, rate: int
) -> None:
    # When a text is spoken in a format
    answer = polly.synthesize_speech(Text=TEXT, VoiceId="Joanna", OutputFormat=output_format)
    file = soundfile.SoundFile(io.BytesIO(answer["AudioStream"].read()))
    # Then the file is one of that format, at the documented rate, and says what the plain samples say
    assert (file.format, file.subtype, file.samplerate, file.channels) == (kind, subtype, rate, 1)
    assert answer["ContentType"] == content_type
    assert file.frames / rate == pytest.approx(seconds(said(polly, TEXT)), abs=0.15)


@pytest.mark.parametrize("output_format", ["mulaw", "alaw"])
def test_telephone_formats_are_a_byte_a_sample(polly: Any, output_format: str) -> None:
    body = polly.synthesize_speech(Text=TEXT, VoiceId="Joanna", OutputFormat=output_format)["AudioStream"].read()
    assert len(body) / 8_000 == pytest.approx(seconds(said(polly, TEXT)), abs=0.02)


def test_the_neural_engine_has_its_own_rate(polly: Any) -> None:
    answer = polly.synthesize_speech(Text=TEXT, VoiceId="Joanna", OutputFormat="mp3", Engine="neural")
    assert soundfile.SoundFile(io.BytesIO(answer["AudioStream"].read())).samplerate == 24_000


def test_speech_marks_tell_where_each_word_is_said(polly: Any) -> None:
    # Given a text with an abbreviation that is written out
    text = '<speak>Café Nero <mark name="here"/>is 5 km away &amp; open. Come.</speak>'
    # When its marks are asked for
    answer = polly.synthesize_speech(
        Text=text, TextType="ssml", VoiceId="Joanna", OutputFormat="json", SpeechMarkTypes=["word", "sentence", "ssml"]
    )
    marks = [json.loads(line) for line in answer["AudioStream"].read().decode().splitlines()]
    # Then each names bytes of the source that hold its value, and they are in the order of time
    assert [mark["time"] for mark in marks] == sorted(mark["time"] for mark in marks)
    for mark in marks:
        if mark["type"] != "ssml":
            assert text.encode()[mark["start"] : mark["end"]].decode() == mark["value"]
    words = [mark for mark in marks if mark["type"] == "word"]
    assert [mark["value"] for mark in words] == ["Café", "Nero", "is", "5", "km", "away", "&amp;", "open", "Come"]
    here = next(mark for mark in marks if mark["type"] == "ssml")
    assert here["value"] == "here"
    assert here["time"] == words[2]["time"]
    # And the last word begins before the sound ends, behind all others
    assert words[-2]["time"] < words[-1]["time"] < 1000 * seconds(ssml(polly, text[7:-8]))


def test_marks_are_where_the_sound_is(polly: Any) -> None:
    # Given a word behind a long break
    text = '<speak>Wait. <break time="3s"/>Now.</speak>'
    answer = polly.synthesize_speech(
        Text=text, TextType="ssml", VoiceId="Joanna", OutputFormat="json", SpeechMarkTypes=["word"]
    )
    now = json.loads(answer["AudioStream"].read().decode().splitlines()[-1])
    # Then it is heard where its mark says, and nothing in the second before
    sound = ssml(polly, text[7:-8])
    at = now["time"] * 16
    assert level(sound[at : at + 3_200]) > 20 * level(sound[at - 16_000 : at - 2_400])


def test_billed_characters_are_counted_without_tags(polly: Any) -> None:
    plain = polly.synthesize_speech(Text="Hello", VoiceId="Joanna", OutputFormat="mp3")
    tagged = polly.synthesize_speech(
        Text="<speak><p>Hello</p></speak>", TextType="ssml", VoiceId="Joanna", OutputFormat="mp3"
    )
    assert plain["RequestCharacters"] == tagged["RequestCharacters"] == 5
    assert plain["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestcharacters"] == "5"


@pytest.mark.parametrize(
    ("request_members", "code"),
    [
        ({"Text": "a" * (MOST_BILLED + 1)}, "TextLengthExceededException"),
        (
            {"Text": f"<speak>{'<p>a</p>' * (MOST_TOTAL // 8)}</speak>", "TextType": "ssml"},
            "TextLengthExceededException",
        ),
        ({"SampleRate": "11025"}, "InvalidSampleRateException"),
        ({"OutputFormat": "pcm", "SampleRate": "24000"}, "InvalidSampleRateException"),
        ({"LexiconNames": ["nothing"]}, "LexiconNotFoundException"),
        ({"Engine": "generative"}, "EngineNotSupportedException"),
        ({"LanguageCode": "fr-FR"}, "LanguageNotSupportedException"),
        ({"SpeechMarkTypes": ["word"]}, "MarksNotSupportedForFormatException"),
        ({"OutputFormat": "json", "SpeechMarkTypes": ["ssml"]}, "SsmlMarksNotSupportedForTextTypeException"),
        ({"OutputFormat": "json", "SpeechMarkTypes": ["viseme"]}, "NotImplemented"),
        ({"VoiceId": "Celine"}, "NotImplemented"),
        ({"VoiceId": "Nobody"}, "ValidationException"),
    ],
)
def test_requests_are_refused_with_pollys_own_codes(polly: Any, request_members: dict[str, Any], code: str) -> None:
    request = {"Text": "Hello", "VoiceId": "Joanna", "OutputFormat": "mp3", **request_members}
    assert refusal(polly.synthesize_speech, **request)[0] == code


def test_the_longest_text_is_still_spoken(polly: Any) -> None:
    text = ("word " * (MOST_BILLED // 5))[:MOST_BILLED]
    assert polly.synthesize_speech(Text=text, VoiceId="Joanna", OutputFormat="mp3")["RequestCharacters"] == MOST_BILLED


def test_voices_are_those_that_are_served(polly: Any) -> None:
    # When the voices are listed, of all languages and of one
    voices = polly.describe_voices()["Voices"]
    british = polly.describe_voices(LanguageCode="en-GB", Engine="neural")["Voices"]
    # Then each speaks with each engine that it names
    for voice in voices:
        for engine in voice["SupportedEngines"]:
            assert said(polly, "Yes.", VoiceId=voice["Id"], Engine=engine).any()
    assert {voice["Id"] for voice in british} == {"Amy", "Brian"}
    assert polly.describe_voices(Engine="generative")["Voices"] == []


def test_every_operation_is_routed_or_says_that_it_is_not_served() -> None:
    service = Polly()
    for operation in service_model("polly").operation_names:
        status, headers, _ = service.handle_rest(operation, "/", {}, b"{}", Speaker())  # type: ignore[arg-type]
        served = operation in service.operations()
        assert (headers.get("x-amzn-ErrorType") == "NotImplemented", status == 501) == (not served, not served)


# --- Lexicons ---

LEXICON = """<?xml version="1.0" encoding="UTF-8"?>
<lexicon version="1.0" xmlns="http://www.w3.org/2005/01/pronunciation-lexicon" alphabet="ipa" xml:lang="{language}">
  <lexeme><grapheme>W3C</grapheme><alias>World Wide Web Consortium</alias></lexeme>
  <lexeme><grapheme>pecan</grapheme><phoneme>pɪˈkɑːn</phoneme></lexeme>
</lexicon>"""


def test_a_lexicon_changes_what_is_said(polly: Any) -> None:
    # Given a lexicon for an abbreviation
    polly.put_lexicon(Name="w3c", Content=LEXICON.format(language="en-US"))
    text = "Founded by the W3C."
    # When a text that holds the abbreviation is spoken with it
    with_lexicon = said(polly, text, LexiconNames=["w3c"])
    # Then it is said in full, and the words around it are billed as they are written
    assert seconds(with_lexicon) == pytest.approx(
        seconds(said(polly, "Founded by the World Wide Web Consortium.")), rel=0.12
    )
    assert seconds(with_lexicon) > seconds(said(polly, text)) + 0.3


def test_a_lexicon_of_another_language_is_left_aside(polly: Any) -> None:
    polly.put_lexicon(Name="w3c", Content=LEXICON.format(language="en-GB"))
    text = "Founded by the W3C."
    assert np.array_equal(said(polly, text, LexiconNames=["w3c"]), said(polly, text))


def test_lexicons_are_kept_listed_and_deleted(polly: Any) -> None:
    polly.put_lexicon(Name="w3c", Content=LEXICON.format(language="en-US"))
    kept = polly.get_lexicon(Name="w3c")
    assert kept["Lexicon"]["Content"] == LEXICON.format(language="en-US")
    assert kept["LexiconAttributes"]["LexemesCount"] == 2
    assert [one["Name"] for one in polly.list_lexicons()["Lexicons"]] == ["w3c"]
    polly.delete_lexicon(Name="w3c")
    assert refusal(polly.get_lexicon, Name="w3c")[:2] == ("LexiconNotFoundException", 404)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("no xml", "InvalidLexiconException"),
        ("<other/>", "InvalidLexiconException"),
        (LEXICON.format(language="en-US").replace('"ipa"', '"klingon"'), "UnsupportedPlsAlphabetException"),
        (LEXICON.format(language="en-US").replace('"ipa"', '"x-sampa"'), "NotImplemented"),
        (LEXICON.format(language="la-VA"), "UnsupportedPlsLanguageException"),
        (LEXICON.format(language="fr-FR"), "NotImplemented"),
        (LEXICON.format(language="en-US") + " " * 4_000, "LexiconSizeExceededException"),
        (LEXICON.format(language="en-US").replace("World", "World" * 30), "MaxLexemeLengthExceededException"),
    ],
)
def test_lexicons_are_refused_with_pollys_own_codes(polly: Any, content: str, code: str) -> None:
    assert refusal(polly.put_lexicon, Name="w3c", Content=content)[0] == code


# --- Tasks ---


def ended(polly: Any, task_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        task: dict[str, Any] = polly.get_speech_synthesis_task(TaskId=task_id)["SynthesisTask"]
        if task["TaskStatus"] in ("completed", "failed"):
            return task
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start(polly: Any, **request: Any) -> dict[str, Any]:
    wanted = {"Text": TEXT, "VoiceId": "Joanna", "OutputFormat": "mp3", "OutputS3BucketName": BUCKET, **request}
    task: dict[str, Any] = polly.start_speech_synthesis_task(**wanted)["SynthesisTask"]
    return task


def test_a_task_writes_as_the_caller_and_tells_its_topic() -> None:
    # Given a caller who may write and publish
    caller = Speaker(buckets={BUCKET}, topics={TOPIC})
    polly = client_of(Polly(), caller)
    # When a text longer than an answer may be is given to a task
    text = f"{TEXT} " * 50
    started = start(polly, Text=text, OutputS3KeyPrefix="spoken/long", SnsTopicArn=TOPIC)
    task = ended(polly, started["TaskId"])
    # Then the sound of all of it is where the task says, and the topic is told
    assert started["TaskStatus"] == "scheduled"
    key = f"spoken/long.{started['TaskId']}.mp3"
    assert task["TaskStatus"] == "completed"
    assert task["OutputUri"] == f"https://s3.us-east-1.amazonaws.com/{BUCKET}/{key}"
    assert task["RequestCharacters"] == len(text)
    body, content_type = caller.written[BUCKET, key]
    assert content_type == "audio/mpeg"
    file = soundfile.SoundFile(io.BytesIO(body))
    assert file.frames / file.samplerate > 150
    deadline = time.monotonic() + 10
    while not caller.published and time.monotonic() < deadline:
        time.sleep(0.01)
    [(topic, message)] = caller.published
    assert (topic, json.loads(message)["taskId"]) == (TOPIC, started["TaskId"])
    assert json.loads(message)["taskStatus"] == "completed"


def test_a_task_that_may_not_write_fails_with_its_reason() -> None:
    polly = client_of(Polly(), Speaker())
    task = ended(polly, start(polly)["TaskId"])
    assert task["TaskStatus"] == "failed"
    assert "NoSuchBucket" in task["TaskStatusReason"]


@pytest.mark.usefixtures("no_faults")
def test_a_task_can_be_made_to_fail() -> None:
    faults.add(service="polly", operation="StartSpeechSynthesisTask", kind="fail-job", times=1)
    polly = client_of(Polly(), Speaker(buckets={BUCKET}))
    assert ended(polly, start(polly)["TaskId"])["TaskStatus"] == "failed"
    assert ended(polly, start(polly)["TaskId"])["TaskStatus"] == "completed"


def test_tasks_are_listed_by_status_and_page() -> None:
    polly = client_of(Polly(), Speaker(buckets={BUCKET}))
    tasks = {start(polly, Text="Yes.")["TaskId"] for _ in range(3)}
    for task in tasks:
        ended(polly, task)
    first = polly.list_speech_synthesis_tasks(MaxResults=2)
    second = polly.list_speech_synthesis_tasks(MaxResults=2, NextToken=first["NextToken"])
    found = [task["TaskId"] for task in (*first["SynthesisTasks"], *second["SynthesisTasks"])]
    assert sorted(found) == sorted(tasks)
    assert polly.list_speech_synthesis_tasks(Status="failed")["SynthesisTasks"] == []
    assert refusal(polly.list_speech_synthesis_tasks, NextToken="x")[0] == "InvalidNextTokenException"


@pytest.mark.parametrize(
    ("request_members", "code"),
    [
        ({"Text": "a" * (MOST_BILLED_TASK + 1)}, "TextLengthExceededException"),
        ({"OutputS3BucketName": "No Bucket"}, "InvalidS3BucketException"),
        ({"OutputS3KeyPrefix": "ä"}, "InvalidS3KeyException"),
        ({"SnsTopicArn": "topic"}, "InvalidSnsTopicArnException"),
        ({"SnsTopicArn": TOPIC.replace("us-east-1", "eu-west-1")}, "InvalidSnsTopicArnException"),
        ({"Text": "<speak>", "TextType": "ssml"}, "InvalidSsmlException"),
    ],
)
def test_tasks_are_refused_with_pollys_own_codes(polly: Any, request_members: dict[str, Any], code: str) -> None:
    request = {
        "Text": "Hello",
        "VoiceId": "Joanna",
        "OutputFormat": "mp3",
        "OutputS3BucketName": BUCKET,
        **request_members,
    }
    assert refusal(polly.start_speech_synthesis_task, **request)[0] == code


def test_a_task_that_is_not_there_is_said_so(polly: Any) -> None:
    assert refusal(polly.get_speech_synthesis_task, TaskId="nothing")[:2] == ("SynthesisTaskNotFoundException", 400)
