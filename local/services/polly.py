"""A stand-in for Amazon Polly with real speech: English, by a small model (`local.services.models.speech`).

**What is real.** Every sound is synthesized from the text that was sent: pitch, pace, loudness and pauses follow the
SSML, lexicons change what is said, and the speech marks are where the model puts each word. The formats are encoded as
they say. Limits, errors and headers are Polly's.

**What is not.** All voices are variants of one speaker (pitch, formants, pace, and the pronunciation of en-GB): named
after Polly's voices of the same language and sex, they do not sound like them. Standard and neural differ only in the
SSML that they take, as in Polly. Other languages, voices, engines, visemes and the SSML named in `local.services.ssml`
are refused as not implemented. A task's end is published in the members of SynthesisTask with a small first letter;
Polly's guide does not show its message, so a receiver does well to trust only `taskId` and ask for the task. Tasks are
kept until the emulator ends, in Polly for 72 hours.

Sources: botocore's model of Polly; Amazon Polly Developer Guide, "Quotas in Amazon Polly", "Long audio files", "Setting
up the IAM policy for asynchronous synthesis" (the caller itself must be able to write to the bucket and publish to the
topic), "Available voices"; read 2026-11-25.
"""

import datetime
import json
import logging
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from botocore.model import OperationModel

from local.services import jobs, lexicons, ssml
from local.services.lexicons import Lexicon
from local.services.rest import RestService
from local.services.ssml import Part, Text
from local.services.wire import Caller, ObjectUnavailable, Operation, ServiceError, service_model

if TYPE_CHECKING:
    from scenarios.speech.voices import Voice

_log = logging.getLogger(__name__)

# "Quotas in Amazon Polly": billed characters and all characters, and the length of an answered sound.
MOST_BILLED, MOST_TOTAL = 3_000, 6_000
MOST_BILLED_TASK, MOST_TOTAL_TASK = 100_000, 200_000
LONGEST_SECONDS = 600.0

ENGINES = ("standard", "neural")
DEFAULT_RATE = {"standard": 22_050, "neural": 24_000}
ENDINGS = {
    "mp3": "mp3",
    "ogg_vorbis": "ogg",
    "ogg_opus": "ogg",
    "pcm": "pcm",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "json": "marks",
}
LANGUAGES = {"en-US": "US English", "en-GB": "British English"}
PAGE = 100

T = TypeVar("T")


@dataclass(frozen=True)
class ServedVoice:
    """One of Polly's voices, and how the model's speaker is changed for it."""

    gender: Literal["Female", "Male"]
    language: str
    pitch: float
    formant: float
    rate: float = 1.0

    def voice(self) -> "Voice":
        from scenarios.speech.voices import Voice

        return Voice(pitch=self.pitch, formant=self.formant, rate=self.rate, british=self.language == "en-GB")


VOICES: dict[str, ServedVoice] = {
    "Amy": ServedVoice("Female", "en-GB", 1.0, 1.0),
    "Brian": ServedVoice("Male", "en-GB", 0.58, 0.87),
    "Ivy": ServedVoice("Female", "en-US", 1.35, 1.08),
    "Joanna": ServedVoice("Female", "en-US", 1.0, 1.0),
    "Joey": ServedVoice("Male", "en-US", 0.72, 0.91, 1.05),
    "Matthew": ServedVoice("Male", "en-US", 0.58, 0.87),
    "Salli": ServedVoice("Female", "en-US", 1.15, 1.02),
}


@dataclass(frozen=True)
class _Speech:
    """A request that can be carried out."""

    source: str
    parts: list[Part]
    voice: ServedVoice
    output_format: str
    rate: int
    marks: tuple[str, ...]
    characters: int

    def document(self, *, longest_seconds: float | None = None) -> bytes:
        """The audio file, or the speech marks."""
        from local.services.models import speech

        stretches = speech.render(self.source, self.parts, self.voice.voice())
        if self.output_format == "json":
            return speech.marks_document(stretches, self.marks)
        return speech.encode(stretches, self.output_format, self.rate, longest_seconds=longest_seconds)


class Polly(RestService):
    """The service. Keeps tasks and lexicons by account and region, in memory."""

    name: ClassVar[str] = "polly"
    iam_namespace: ClassVar[str] = "polly"
    target_prefix: ClassVar[str] = ""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._lexicons: dict[tuple[str, str], dict[str, tuple[str, Lexicon, datetime.datetime]]] = {}

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "DescribeVoices": self._describe_voices,
            "SynthesizeSpeech": self._synthesize,
            "StartSpeechSynthesisTask": self._start_task,
            "GetSpeechSynthesisTask": self._get_task,
            "ListSpeechSynthesisTasks": self._list_tasks,
            "PutLexicon": self._put_lexicon,
            "GetLexicon": self._get_lexicon,
            "ListLexicons": self._list_lexicons,
            "DeleteLexicon": self._delete_lexicon,
        }

    def parse(self, model: OperationModel, body: bytes) -> dict[str, Any]:
        """The validated request; Polly has errors of its own for a malformed bucket name, key prefix or topic."""
        try:
            return super().parse(model, body)
        except ServiceError as error:
            for member, code in (
                ("outputS3BucketName", "InvalidS3BucketException"),
                ("outputS3KeyPrefix", "InvalidS3KeyException"),
                ("snsTopicArn", "InvalidSnsTopicArnException"),
            ):
                if error.code == "ValidationException" and f"at '{member}' failed" in error.message:
                    raise ServiceError(code, error.message) from error
            raise

    # --- Voices and speech ---

    def _describe_voices(self, request: Mapping[str, Any], _caller: Caller) -> Mapping[str, Any]:
        if request.get("NextToken"):
            raise ServiceError("InvalidNextTokenException", "There is no further page.")
        if request.get("Engine", "standard") not in ENGINES:
            return {"Voices": []}
        wanted = request.get("LanguageCode")
        return {
            "Voices": [
                {
                    "Id": name,
                    "Name": name,
                    "Gender": voice.gender,
                    "LanguageCode": voice.language,
                    "LanguageName": LANGUAGES[voice.language],
                    "SupportedEngines": list(ENGINES),
                }
                for name, voice in VOICES.items()
                if wanted in (None, voice.language)
            ]
        }

    def _synthesize(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        from local.services.models.speech import CONTENT_TYPES

        speech = self._speech(request, caller, MOST_BILLED, MOST_TOTAL)
        return {
            "AudioStream": speech.document(longest_seconds=LONGEST_SECONDS),
            "ContentType": CONTENT_TYPES[speech.output_format],
            "RequestCharacters": speech.characters,
        }

    def _speech(self, request: Mapping[str, Any], caller: Caller, most_billed: int, most_total: int) -> _Speech:
        """What is asked for. Raises ServiceError."""
        voice = _served_voice(request["VoiceId"])
        engine: ssml.Engine = _served_engine(request.get("Engine", "standard"), request["VoiceId"])
        if request.get("LanguageCode", voice.language) != voice.language:
            raise ServiceError(
                "LanguageNotSupportedException", f"{request['VoiceId']} does not speak {request['LanguageCode']}."
            )
        text, text_type = request["Text"], request.get("TextType", "text")
        if len(text) > most_total:
            raise ServiceError("TextLengthExceededException", f"Maximum text length has been exceeded: {most_total}.")
        output_format, marks = request["OutputFormat"], tuple(request.get("SpeechMarkTypes", ()))
        _check_marks(output_format, marks, text_type)
        rate = _rate(output_format, engine, request.get("SampleRate"))
        parts = _parts(text, text_type, engine)
        characters = sum(len(part.said) if part.literal else _literal_length(text, part) for part in _texts(parts))
        if characters > most_billed:
            raise ServiceError(
                "TextLengthExceededException", f"Maximum billed text length has been exceeded: {most_billed}."
            )
        parts = lexicons.apply(parts, self._wanted_lexicons(request.get("LexiconNames", ()), caller), voice.language)
        _check_pronunciations(parts, voice)
        return _Speech(text, parts, voice, output_format, rate, marks, characters)

    def _wanted_lexicons(self, names: Any, caller: Caller) -> list[Lexicon]:
        with self._lock:
            known = self._lexicons.get((caller.account, caller.region), {})
            for name in names:
                if name not in known:
                    raise ServiceError("LexiconNotFoundException", f"There is no lexicon {name}.", 404)
            return [known[name][1] for name in names]

    # --- Tasks ---

    def _start_task(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        topic = request.get("SnsTopicArn")
        if topic and topic.split(":")[3] != caller.region:
            raise ServiceError("InvalidSnsTopicArnException", "The topic is in another region.")
        speech = self._speech(request, caller, MOST_BILLED_TASK, MOST_TOTAL_TASK)
        task_id = str(uuid.uuid4())
        bucket, prefix = request["OutputS3BucketName"], request.get("OutputS3KeyPrefix", "")
        # As "Long audio files" shows: prefix.task.ending.
        key = f"{prefix}.{task_id}" if prefix else task_id
        key = f"{key}.{ENDINGS[speech.output_format]}"
        echoed = ("SnsTopicArn", "LexiconNames", "OutputFormat", "SpeechMarkTypes", "VoiceId", "LanguageCode")
        task = {
            **{name: request[name] for name in echoed if name in request},
            "Engine": request.get("Engine", "standard"),
            "TextType": request.get("TextType", "text"),
            "TaskId": task_id,
            "TaskStatus": "scheduled",
            "OutputUri": f"https://s3.{caller.region}.amazonaws.com/{bucket}/{key}",
            "CreationTime": datetime.datetime.now(datetime.timezone.utc),
            "RequestCharacters": speech.characters,
            **({"SampleRate": str(speech.rate)} if speech.output_format != "json" else {}),
        }
        with self._lock:
            self._tasks.setdefault((caller.account, caller.region), {})[task_id] = task
            answer = dict(task)

        def work() -> None:
            self._change(task, TaskStatus="inProgress")
            _write(caller, bucket, key, speech)
            self._end(caller, task, TaskStatus="completed")

        def failed(error: jobs.JobFailedError) -> None:
            self._end(caller, task, TaskStatus="failed", TaskStatusReason=str(error))

        jobs.submit(self.name, "StartSpeechSynthesisTask", work, failed)
        return {"SynthesisTask": answer}

    def _change(self, task: dict[str, Any], **members: Any) -> dict[str, Any]:
        with self._lock:
            task.update(members)
            return dict(task)

    def _end(self, caller: Caller, task: dict[str, Any], **members: Any) -> None:
        ended = self._change(task, **members)
        topic = ended.get("SnsTopicArn")
        if not topic:
            return
        message = {name[:1].lower() + name[1:]: value for name, value in ended.items()}
        message["creationTime"] = ended["CreationTime"].isoformat()
        try:
            caller.publish(topic, json.dumps(message))
        except ServiceError as error:
            _log.warning("The end of task %s was told to nobody: %s", ended["TaskId"], error)

    def _get_task(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        with self._lock:
            task = self._tasks.get((caller.account, caller.region), {}).get(request["TaskId"])
            if task is None:
                raise ServiceError("SynthesisTaskNotFoundException", f"There is no task {request['TaskId']}.")
            return {"SynthesisTask": dict(task)}

    def _list_tasks(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        with self._lock:
            tasks = [dict(task) for task in self._tasks.get((caller.account, caller.region), {}).values()]
        wanted = request.get("Status")
        tasks = [task for task in tasks if wanted in (None, task["TaskStatus"])]
        page, token = _page(tasks, request.get("NextToken"), request.get("MaxResults", PAGE))
        return {"SynthesisTasks": page, **token}

    # --- Lexicons ---

    def _put_lexicon(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        lexicon = lexicons.read(request["Content"])
        if lexicon.language not in LANGUAGES:
            if lexicon.language not in service_model(self.name).shape_for("LanguageCode").metadata["enum"]:
                raise ServiceError("UnsupportedPlsLanguageException", f"Polly does not speak {lexicon.language}.")
            raise ServiceError("NotImplemented", f"This local cloud does not speak {lexicon.language}.", 501)
        for lexeme in lexicon.lexemes:
            if lexeme.ipa:
                _check_ipa(lexeme.ipa, british=lexicon.language == "en-GB")
        with self._lock:
            mine = self._lexicons.setdefault((caller.account, caller.region), {})
            if request["Name"] not in mine and len(mine) >= lexicons.MOST:
                raise ServiceError("MaxLexiconsNumberExceededException", f"An account has up to {lexicons.MOST}.")
            mine[request["Name"]] = (request["Content"], lexicon, datetime.datetime.now(datetime.timezone.utc))
        return {}

    def _get_lexicon(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        name = request["Name"]
        content, *_ = kept = self._kept_lexicon(name, caller)
        return {"Lexicon": {"Name": name, "Content": content}, "LexiconAttributes": _attributes(name, kept, caller)}

    def _list_lexicons(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        with self._lock:
            kept = sorted(self._lexicons.get((caller.account, caller.region), {}).items())
        found = [{"Name": name, "Attributes": _attributes(name, one, caller)} for name, one in kept]
        page, token = _page(found, request.get("NextToken"), PAGE)
        return {"Lexicons": page, **token}

    def _delete_lexicon(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        self._kept_lexicon(request["Name"], caller)
        with self._lock:
            self._lexicons[caller.account, caller.region].pop(request["Name"], None)
        return {}

    def _kept_lexicon(self, name: str, caller: Caller) -> tuple[str, Lexicon, datetime.datetime]:
        with self._lock:
            kept = self._lexicons.get((caller.account, caller.region), {}).get(name)
        if kept is None:
            raise ServiceError("LexiconNotFoundException", f"There is no lexicon {name}.", 404)
        return kept


def _served_voice(name: str) -> ServedVoice:
    if name not in VOICES:
        raise ServiceError(
            "NotImplemented", f"This local cloud has no voice {name}. It has {', '.join(sorted(VOICES))}.", 501
        )
    return VOICES[name]


def _served_engine(name: str, voice: str) -> ssml.Engine:
    if name == "standard":
        return "standard"
    if name == "neural":
        return "neural"
    raise ServiceError("EngineNotSupportedException", f"{voice} has no {name} engine here, only standard and neural.")


def _check_marks(output_format: str, marks: tuple[str, ...], text_type: str) -> None:
    if marks and output_format != "json":
        raise ServiceError("MarksNotSupportedForFormatException", "Speech marks come in the format json only.")
    if output_format == "json" and not marks:
        raise ServiceError("ValidationException", "The format json wants SpeechMarkTypes.")
    if "ssml" in marks and text_type != "ssml":
        raise ServiceError("SsmlMarksNotSupportedForTextTypeException", "SSML marks stand in SSML only.")
    if "viseme" in marks:
        raise _not_implemented("speech marks of visemes")


def _rate(output_format: str, engine: str, asked: str | None) -> int:
    """Samples a second. Raises ServiceError."""
    if output_format == "json":
        return 0
    from local.services.models.speech import RATES

    rates = RATES[output_format]
    if asked is None:
        return DEFAULT_RATE[engine] if DEFAULT_RATE[engine] in rates else rates[-1]
    if not asked.isdecimal() or int(asked) not in rates:
        known = ", ".join(str(rate) for rate in rates)
        raise ServiceError("InvalidSampleRateException", f"{output_format} takes a sample rate of {known}.")
    return int(asked)


def _parts(text: str, text_type: str, engine: ssml.Engine) -> list[Part]:
    if text_type != "ssml":
        return [Text(text, 0, len(text.encode()))]
    try:
        return ssml.parse(text, engine)
    except ssml.InvalidSsmlError as error:
        raise ServiceError("InvalidSsmlException", f"Invalid SSML request: {error}") from error
    except ssml.NotServedError as error:
        raise _not_implemented(str(error)) from error


def _texts(parts: list[Part]) -> list[Text]:
    return [part for part in parts if isinstance(part, Text)]


def _literal_length(source: str, text: Text) -> int:
    return len(source.encode()[text.start : text.end].decode())


def _check_pronunciations(parts: list[Part], voice: ServedVoice) -> None:
    for text in _texts(parts):
        if text.ipa:
            _check_ipa(text.ipa, british=voice.language == "en-GB")


def _check_ipa(ipa: str, *, british: bool) -> None:
    from scenarios.speech.voices import phonemes_of_ipa

    try:
        phonemes_of_ipa(ipa, british=british)
    except ValueError as error:
        raise _not_implemented(f"the pronunciation {ipa!r}: {error}") from error


def _not_implemented(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"This local cloud does not serve {what}.", 501)


def _write(caller: Caller, bucket: str, key: str, speech: _Speech) -> None:
    from local.services.models.speech import CONTENT_TYPES

    document = speech.document()
    try:
        caller.write_object(bucket, key, document, content_type=CONTENT_TYPES[speech.output_format])
    except ObjectUnavailable as error:
        raise jobs.JobFailedError(f"The output could not be written: {error.code}: {error.message}") from error


def _attributes(name: str, kept: tuple[str, Lexicon, datetime.datetime], caller: Caller) -> dict[str, Any]:
    content, lexicon, modified = kept
    return {
        "Alphabet": lexicon.alphabet,
        "LanguageCode": lexicon.language,
        "LastModified": modified,
        "LexiconArn": f"arn:aws:polly:{caller.region}:{caller.account}:lexicon/{name}",
        "LexemesCount": len(lexicon.lexemes),
        "Size": len(content.encode()),
    }


def _page(items: list[T], token: str | None, size: int) -> tuple[list[T], dict[str, str]]:
    """One page and, where there is more, the token of the next one."""
    start = 0
    if token is not None:
        if not token.isdecimal() or not 0 < int(token) < len(items):
            raise ServiceError("InvalidNextTokenException", "There is no such page.")
        start = int(token)
    end = start + size
    return items[start:end], {"NextToken": str(end)} if end < len(items) else {}
