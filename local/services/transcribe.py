"""Amazon Transcribe's batch jobs, custom vocabularies and vocabulary filters, with a real recogniser.

What is real: words, times, confidences, punctuation, speakers and languages are computed from the sound; a vocabulary
changes what is recognised; a filter masks, removes or tags; redaction replaces the personal data that is found. Media
is read and transcripts are written with the caller's permissions, or those of the job's role. What is not:

* the recogniser (Whisper "base") knows less than Transcribe's, and hears a short stretch better than a whole hour;
* speakers are told apart by pitch and timbre, without a trained model (`local/services/models/speakers.py`);
* personal data is found in English only, so redaction in another language is refused, though AWS has it;
* an output bucket must be named: there is no bucket of the service; jobs are not queued by quota; vocabularies and
  filters have no `DownloadUri`; subtitles, alternatives, channels, custom language models and toxicity are refused.

Sources, read 2026-11-25: the documentation in botocore's service model (API Reference); "Custom vocabularies" (100 an
account, 50 KB, 256 characters an entry) and "Creating a custom vocabulary using a table" (SoundsLike and IPA are
ignored today); "Redacting PII in your batch job" (not together with language identification) and "Document history"
(languages added on 2026-05-01), Amazon Transcribe Developer Guide. Read 2026-11-26: "Guidelines and quotas", there (4
hours and 2 GB of media, at least half a second, 100 filters of 50 KB). Not found: the wording of most messages.
"""

import datetime
import functools
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from local.services import jobs, transcripts
from local.services.wire import Caller, JsonService, ObjectUnavailable, Operation, ServiceError, service_model

if TYPE_CHECKING:
    from local.services.models.sound import Samples, Sound

Request = Mapping[str, Any]
Members = dict[str, Any]

LONGEST_SECONDS = 4 * 60 * 60
SHORTEST_SECONDS = 0.5
MAXIMUM_MEDIA_BYTES = 2 * 1024**3
MAXIMUM_VOCABULARIES = 100
MAXIMUM_FILTERS = 100
MAXIMUM_LIST_BYTES = 50 * 1024
MAXIMUM_ENTRY = 256
PAGE = 5  # Results a page unless MaxResults says more: API Reference of each List operation.
SPEAKERS = 30  # Where nobody said how many.

# Languages in which a batch job redacts: en-US and es-US by "Redacting PII in your batch job", the others by the entry
# of 2026-05-01 in "Document history", both Amazon Transcribe Developer Guide, read 2026-11-25.
REDACTION_LANGUAGES = frozenset({"en-US", "es-US", "fr-FR", "fr-CA", "de-DE", "de-CH", "it-IT", "pt-PT", "pt-BR"})

# The dialect that stands for a language where no options are given; else the first of Transcribe's codes.
_USUAL = {"de": "de-DE", "en": "en-US", "es": "es-ES", "fr": "fr-FR", "it": "it-IT", "pt": "pt-BR", "zh": "zh-CN"}

_FORMATS = {
    "wav": {"wav"}, "flac": {"flac"}, "mp3": {"mp3"}, "ogg": {"ogg"}, "amr": {"amr"},
    "mp4": {"mp4"}, "m4a": {"mp4", "m4a"}, "mov": {"mp4", "m4a"}, "webm": {"webm"}, "matroska": {"webm"},
}  # fmt: skip

_log = logging.getLogger(__name__)


@dataclass
class _Entry:
    """A job, a vocabulary or a filter: what the service tells of it, and what it keeps to itself."""

    members: Members
    tags: dict[str, str] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)  # Vocabulary: plain letters → display form.
    phrases: tuple[str, ...] = ()  # Vocabulary: as spoken. Filter: its words.


class Transcribe(JsonService):
    """Transcription jobs, vocabularies, vocabulary filters and their tags."""

    name: ClassVar[str] = "transcribe"
    iam_namespace: ClassVar[str] = "transcribe"
    target_prefix: ClassVar[str] = "Transcribe"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # By kind ("transcription-job", "vocabulary", "vocabulary-filter"), account, region and name.
        self._entries: dict[tuple[str, str, str, str], _Entry] = {}

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreateVocabulary": self._create_vocabulary,
            "CreateVocabularyFilter": self._create_filter,
            "DeleteTranscriptionJob": functools.partial(self._delete, "transcription-job", "TranscriptionJobName"),
            "DeleteVocabulary": functools.partial(self._delete, "vocabulary", "VocabularyName"),
            "DeleteVocabularyFilter": functools.partial(self._delete, "vocabulary-filter", "VocabularyFilterName"),
            "GetTranscriptionJob": self._get_job,
            "GetVocabulary": self._get_vocabulary,
            "GetVocabularyFilter": self._get_filter,
            "ListTagsForResource": self._list_tags,
            "ListTranscriptionJobs": self._list_jobs,
            "ListVocabularies": self._list_vocabularies,
            "ListVocabularyFilters": self._list_filters,
            "StartTranscriptionJob": self._start,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "UpdateVocabulary": self._update_vocabulary,
            "UpdateVocabularyFilter": self._update_filter,
        }

    def _answer(self, operation: str, body: bytes, caller: Caller) -> Any:
        try:
            return super()._answer(operation, body, caller)
        except ServiceError as error:
            # Transcribe's own code for what breaks a constraint of its model.
            if error.code == "ValidationException":
                raise _bad(error.message) from error
            raise

    # --- Jobs ---

    def _start(self, request: Request, caller: Caller) -> Members:
        _refuse_unserved(request)
        languages = _language_choice(request)
        plan = self._plan(request, caller)
        settings = request.get("JobExecutionSettings", {})
        if bool(settings.get("AllowDeferredExecution")) != bool("DataAccessRoleArn" in settings):
            raise _bad("AllowDeferredExecution and DataAccessRoleArn must be given together.")
        role = settings.get("DataAccessRoleArn")
        actor = caller.assume(role, "transcribe.amazonaws.com") if role else caller
        uri = request["Media"].get("MediaFileUri")
        if not uri:
            raise _bad("Media.MediaFileUri is needed.")
        media = _media(uri, actor)
        name = request["TranscriptionJobName"]
        now = _now()
        shown = {"Media", "MediaFormat", "MediaSampleRateHertz", "Settings", "JobExecutionSettings", "ContentRedaction"}
        shown |= {"LanguageCode", "IdentifyLanguage", "IdentifyMultipleLanguages", "LanguageOptions"}
        members = {key: request[key] for key in sorted(shown) if key in request}
        members |= {"LanguageIdSettings": request["LanguageIdSettings"]} if "LanguageIdSettings" in request else {}
        members |= {"TranscriptionJobName": name, "TranscriptionJobStatus": "IN_PROGRESS"}
        members |= {"CreationTime": now, "StartTime": now}
        entry = _Entry(members, _tags(request))
        with self._lock:
            if self._key("transcription-job", caller, name) in self._entries:
                raise _conflict("The requested job name already exists.")
            self._entries[self._key("transcription-job", caller, name)] = entry
            # Of now: what the job does later changes the entry.
            answer = {"TranscriptionJob": dict(members) | _shown_tags(entry)}
        jobs.submit(
            self.name,
            "StartTranscriptionJob",
            lambda: self._run(entry, request, media, languages, plan, caller, actor),
            lambda error: self._fail(entry, caller, str(error)),
        )
        return answer

    def _plan(self, request: Request, caller: Caller) -> "dict[str, _Plan]":
        """What is applied to which language, "" for all: resolved now, so that a missing name is refused at once."""
        settings = request.get("Settings", {})
        if "LanguageIdSettings" in request:
            return {
                code: self._language_plan(one, code, settings, caller)
                for code, one in request["LanguageIdSettings"].items()
            }
        return {"": self._language_plan(settings, request.get("LanguageCode"), settings, caller)}

    def _language_plan(self, names: Request, code: str | None, settings: Request, caller: Caller) -> "_Plan":
        plan = _Plan()
        if "VocabularyName" in names:
            entry = self._find("vocabulary", names["VocabularyName"], caller, _bad)
            if entry.members["VocabularyState"] != "READY":
                raise _bad("The specified vocabulary isn't ready.")
            _same_language(entry, code, "vocabulary")
            plan.forms, plan.phrases = dict(entry.forms), entry.phrases
        if "VocabularyFilterName" in names:
            entry = self._find("vocabulary-filter", names["VocabularyFilterName"], caller, _bad)
            _same_language(entry, code, "vocabulary filter")
            plan.unwanted, plan.method = entry.phrases, settings.get("VocabularyFilterMethod", "mask")
        return plan

    def _run(  # noqa: PLR0917 (what a job needs, bound when it starts)
        self,
        entry: _Entry,
        request: Request,
        media: bytes,
        languages: Sequence[str],
        plans: "Mapping[str, _Plan]",
        caller: Caller,
        actor: Caller,
    ) -> None:
        sound = _sound(media, request)
        heard = _recognise(sound.mono(), request, languages, plans)
        segments = heard.segments
        name = request["TranscriptionJobName"]
        write = functools.partial(
            transcripts.document,
            job=name,
            account=caller.account,
            speakers=heard.speakers,
            identified=heard.identified,
            durations=heard.durations,
        )
        output, uris = request.get("ContentRedaction", {}).get("RedactionOutput"), {}
        bucket, key = request["OutputBucketName"], _output_key(request)
        if output != "redacted":
            _write(actor, bucket, key, write(segments), request)
            uris["TranscriptFileUri"] = _uri(caller.region, bucket, key)
        if output:
            folder, _, file = key.rpartition("/")
            hidden = f"{folder}/redacted-{file}" if folder else f"redacted-{file}"
            known = [form for plan in plans.values() for form in plan.forms.values()]
            clean = _redacted(segments, request["ContentRedaction"], known)
            _write(actor, bucket, hidden, write(clean, is_redacted=True), request)
            uris["RedactedTranscriptFileUri"] = _uri(caller.region, bucket, hidden)
        with self._lock:
            entry.members |= {"TranscriptionJobStatus": "COMPLETED", "CompletionTime": _now(), "Transcript": uris}
            entry.members.setdefault("MediaSampleRateHertz", max(8000, min(48_000, sound.rate)))
            entry.members.setdefault("MediaFormat", min(_formats(sound)))
            if request.get("IdentifyMultipleLanguages"):
                entry.members["LanguageCodes"] = [
                    {"LanguageCode": code, "DurationInSeconds": seconds} for code, seconds in heard.durations
                ]
            elif heard.identified:
                entry.members["LanguageCode"], entry.members["IdentifiedLanguageScore"] = heard.identified[0]
        self._tell(caller, name, "COMPLETED")

    def _fail(self, entry: _Entry, caller: Caller, reason: str) -> None:
        with self._lock:
            entry.members |= {
                "TranscriptionJobStatus": "FAILED", "CompletionTime": _now(), "FailureReason": reason,
            }  # fmt: skip
        self._tell(caller, entry.members["TranscriptionJobName"], "FAILED")

    def _tell(self, caller: Caller, name: str, status: str) -> None:
        # "Using Amazon EventBridge with Amazon Transcribe", Developer Guide, read 2026-11-25.
        detail = {"TranscriptionJobName": name, "TranscriptionJobStatus": status}
        caller.emit("aws.transcribe", "Transcribe Job State Change", detail)

    def _get_job(self, request: Request, caller: Caller) -> Members:
        entry = self._find("transcription-job", request["TranscriptionJobName"], caller, _missing)
        return {"TranscriptionJob": dict(entry.members) | _shown_tags(entry)}

    def _list_jobs(self, request: Request, caller: Caller) -> Members:
        status, part = request.get("Status"), request.get("JobNameContains", "").casefold()
        found = [
            entry.members
            for entry in self._all("transcription-job", caller)
            if status in (None, entry.members["TranscriptionJobStatus"])
            and part in entry.members["TranscriptionJobName"].casefold()
        ]
        found.sort(key=lambda one: one["CreationTime"], reverse=True)
        page, token = _page(found, request)
        shape: Any = service_model(self.name).shape_for("TranscriptionJobSummary")
        summaries = [
            {key: value for key, value in one.items() if key in shape.members}
            | {"OutputLocationType": "CUSTOMER_BUCKET"}
            for one in page
        ]
        return {"TranscriptionJobSummaries": summaries} | ({"Status": status} if status else {}) | token

    # --- Vocabularies ---

    def _create_vocabulary(self, request: Request, caller: Caller) -> Members:
        return self._put_vocabulary(request, caller, "CreateVocabulary", new=True)

    def _update_vocabulary(self, request: Request, caller: Caller) -> Members:
        return self._put_vocabulary(request, caller, "UpdateVocabulary", new=False)

    def _put_vocabulary(self, request: Request, caller: Caller, operation: str, *, new: bool) -> Members:
        _refuse_encryption(request)
        text = _list_text(request, "Phrases", "VocabularyFileUri", caller)
        name = request["VocabularyName"]
        members = {
            "VocabularyName": name, "LanguageCode": request["LanguageCode"], "VocabularyState": "PENDING",
            "LastModifiedTime": _now(),
        }  # fmt: skip
        entry = self._put("vocabulary", name, members, request, caller, new=new, most=MAXIMUM_VOCABULARIES)

        def build() -> None:
            forms, phrases = _vocabulary(text)
            with self._lock:
                entry.forms, entry.phrases = forms, phrases
                entry.members |= {"VocabularyState": "READY", "LastModifiedTime": _now()}
            self._tell_vocabulary(caller, name, "READY")

        def fail(error: jobs.JobFailedError) -> None:
            with self._lock:
                entry.members |= {"VocabularyState": "FAILED", "FailureReason": str(error)}
            self._tell_vocabulary(caller, name, "FAILED")

        answer = dict(members)
        jobs.submit(self.name, operation, build, fail)
        return answer

    def _tell_vocabulary(self, caller: Caller, name: str, state: str) -> None:
        caller.emit("aws.transcribe", "Vocabulary State Change", {"VocabularyName": name, "VocabularyState": state})

    def _get_vocabulary(self, request: Request, caller: Caller) -> Members:
        return dict(self._find("vocabulary", request["VocabularyName"], caller, _missing).members)

    def _list_vocabularies(self, request: Request, caller: Caller) -> Members:
        state, part = request.get("StateEquals"), request.get("NameContains", "").casefold()
        found = [
            {key: value for key, value in entry.members.items() if key != "FailureReason"}
            for entry in self._all("vocabulary", caller)
            if state in (None, entry.members["VocabularyState"]) and part in entry.members["VocabularyName"].casefold()
        ]
        page, token = _page(found, request)
        return {"Vocabularies": page} | ({"Status": state} if state else {}) | token

    # --- Filters ---

    def _create_filter(self, request: Request, caller: Caller) -> Members:
        return self._put_filter(request, caller, new=True)

    def _update_filter(self, request: Request, caller: Caller) -> Members:
        return self._put_filter(request, caller, new=False)

    def _put_filter(self, request: Request, caller: Caller, *, new: bool) -> Members:
        _refuse_encryption(request)
        name = request["VocabularyFilterName"]
        text = _list_text(request, "Words", "VocabularyFilterFileUri", caller)
        words = tuple(line.strip() for line in text.splitlines() if line.strip())
        if not words or any(len(word) > MAXIMUM_ENTRY or " " in word for word in words):
            raise _bad("A vocabulary filter needs one word a line, of at most 256 characters.")
        code = request.get("LanguageCode")
        if not new:
            code = self._find("vocabulary-filter", name, caller, _missing).members["LanguageCode"]
        members = {"VocabularyFilterName": name, "LanguageCode": code, "LastModifiedTime": _now()}
        entry = self._put("vocabulary-filter", name, members, request, caller, new=new, most=MAXIMUM_FILTERS)
        entry.phrases = words
        return dict(members)

    def _get_filter(self, request: Request, caller: Caller) -> Members:
        return dict(self._find("vocabulary-filter", request["VocabularyFilterName"], caller, _missing).members)

    def _list_filters(self, request: Request, caller: Caller) -> Members:
        part = request.get("NameContains", "").casefold()
        found = [
            dict(entry.members)
            for entry in self._all("vocabulary-filter", caller)
            if part in entry.members["VocabularyFilterName"].casefold()
        ]
        page, token = _page(found, request)
        return {"VocabularyFilters": page} | token

    # --- What all have ---

    @staticmethod
    def _key(kind: str, caller: Caller, name: str) -> tuple[str, str, str, str]:
        return kind, caller.account, caller.region, name

    def _find(self, kind: str, name: str, caller: Caller, problem: Callable[[str], ServiceError]) -> _Entry:
        with self._lock:
            entry = self._entries.get(self._key(kind, caller, name))
        if entry is None:
            what = kind.replace("transcription-", "").replace("-", " ")
            raise problem(f"The requested {what} couldn't be found. Check the {what} name and try your request again.")
        return entry

    def _all(self, kind: str, caller: Caller) -> list[_Entry]:
        with self._lock:
            return [entry for key, entry in sorted(self._entries.items()) if key[:3] == (kind, *_home(caller))]

    def _put(
        self, kind: str, name: str, members: Members, request: Request, caller: Caller, *, new: bool, most: int
    ) -> _Entry:
        with self._lock:
            known = self._entries.get(self._key(kind, caller, name))
            if new and known is not None:
                raise _conflict(f"The requested {kind.replace('-', ' ')} name already exists.")
            if not new and known is None:
                raise _missing(f"The requested {kind.replace('-', ' ')} couldn't be found.")
            if new and len(self._all(kind, caller)) >= most:
                raise ServiceError("LimitExceededException", f"You have {most} of these already.")
            entry = _Entry(members, known.tags if known else _tags(request))
            self._entries[self._key(kind, caller, name)] = entry
            return entry

    def _delete(self, kind: str, member: str, request: Request, caller: Caller) -> Members:
        problem = _bad if kind == "transcription-job" else _missing
        with self._lock:
            entry = self._find(kind, request[member], caller, problem)
            if entry.members.get("TranscriptionJobStatus") == "IN_PROGRESS":
                raise _bad("The job is in progress: it can be deleted when it has ended.")
            del self._entries[self._key(kind, caller, request[member])]
        return {}

    def _by_arn(self, request: Request, caller: Caller) -> _Entry:
        kind, _, name = request["ResourceArn"].partition(f":{caller.account}:")[2].partition("/")
        return self._find(kind or "resource", name, caller, _missing)

    def _tag(self, request: Request, caller: Caller) -> Members:
        self._by_arn(request, caller).tags.update(_tags(request))
        return {}

    def _untag(self, request: Request, caller: Caller) -> Members:
        entry = self._by_arn(request, caller)
        for key in request["TagKeys"]:
            entry.tags.pop(key, None)
        return {}

    def _list_tags(self, request: Request, caller: Caller) -> Members:
        return {"ResourceArn": request["ResourceArn"]} | _shown_tags(self._by_arn(request, caller))


# --- Recognition -----------------------------------------------------------------------------------------------------


@dataclass
class _Plan:
    """What is applied to a language: display forms and phrases of its vocabulary, and its filter."""

    forms: Mapping[str, str] = field(default_factory=dict)
    phrases: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    method: str = "mask"


@dataclass(frozen=True)
class _Heard:
    segments: list[transcripts.Segment]
    speakers: int | None
    identified: list[tuple[str, float]]
    durations: list[tuple[str, float]]


def _recognise(samples: "Samples", request: Request, languages: Sequence[str], plans: Mapping[str, _Plan]) -> _Heard:
    from local.services.models import recognition, speakers
    from local.services.models.sound import SAMPLE_RATE

    found = speakers.stretches(samples)
    settings = request.get("Settings", {})
    labelled = bool(settings.get("ShowSpeakerLabels"))
    if labelled and found:
        found = speakers.label(samples, found, most=settings.get("MaxSpeakerLabels", SPEAKERS))
    model = recognition.recogniser()
    several = bool(request.get("IdentifyMultipleLanguages"))
    identified: list[tuple[str, float]] = []
    if "LanguageCode" not in request:
        # Not confirmed of AWS; a job without a language is of no use to whom asked for one.
        if not found:
            raise jobs.JobFailedError("The language couldn't be identified: there is no speech in the media file.")
        speech = _only(samples, found)
        identified = _identify(model, speech, languages)
    durations: dict[str, float] = {}
    segments = []
    for one in _runs(found, recognition.LONGEST):
        piece = samples[int(one.start * SAMPLE_RATE) : int(one.end * SAMPLE_RATE)]
        code = request.get("LanguageCode") or identified[0][0]
        if several:
            code = _identify(model, piece, languages)[0][0]
        plan = plans.get(code) or plans.get("") or _Plan()
        language = _WHISPER.get(code.partition("-")[0], code.partition("-")[0])
        if not model.knows(language):
            raise jobs.JobFailedError(f"The local cloud has no model for {code}.")
        items = _items(model.words(piece, language, plan.phrases), one.start, one.end)
        if not items:
            continue
        durations[code] = durations.get(code, 0.0) + one.end - one.start
        segment = transcripts.Segment(
            _first(items), _last(items), tuple(items), one.speaker if labelled else None, code
        )
        segment = transcripts.displayed(segment, plan.forms)
        if plan.unwanted:
            segment = transcripts.filtered(segment, plan.unwanted, plan.method)
        segments.append(segment)
    return _Heard(
        segments,
        len({one.speaker for one in segments}) if labelled else None,
        identified,
        sorted(durations.items(), key=lambda item: -item[1]) if several else [],
    )


# Whisper's names of languages that Transcribe names otherwise ("Supported languages", Developer Guide).
_WHISPER = {"nb": "no", "tl": "tl", "fil": "tl", "jv": "jw", "jw": "jw", "zh": "zh"}


def _only(samples: "Samples", found: Sequence[Any]) -> "Samples":
    import numpy as np

    from local.services.models.sound import SAMPLE_RATE

    parts = [samples[int(one.start * SAMPLE_RATE) : int(one.end * SAMPLE_RATE)] for one in found]
    joined: Samples = np.concatenate(parts)
    return joined


def _identify(model: Any, samples: "Samples", languages: Sequence[str]) -> list[tuple[str, float]]:
    """Languages and scores, the likeliest first."""
    names = {_WHISPER.get(code.partition("-")[0], code.partition("-")[0]): code for code in reversed(languages)}
    scores = model.languages(samples, names)
    if not languages:
        known = _codes()
        return [(known[name], round(score, 4)) for name, score in scores.items() if name in known][:5]
    return [(names[name], round(score, 4)) for name, score in scores.items()]


@functools.cache
def _codes() -> dict[str, str]:
    shape: Any = service_model("transcribe").shape_for("LanguageCode")
    codes = {_WHISPER.get(code.partition("-")[0], code.partition("-")[0]): code for code in reversed(shape.enum)}
    return codes | _USUAL


def _runs(found: Sequence[Any], longest: float) -> list[Any]:
    """Stretches of one speaker joined, and those too long for the recogniser cut: it hears better with context."""
    from local.services.models.speakers import Stretch

    joined: list[Stretch] = []
    for one in found:
        start, end = one.start, one.end
        if joined and joined[-1].speaker == one.speaker and end - joined[-1].start <= longest:
            joined[-1] = Stretch(joined[-1].start, end, one.speaker)
            continue
        while end - start > longest:
            joined.append(Stretch(start, start + longest, one.speaker))
            start += longest
        joined.append(Stretch(start, end, one.speaker))
    return joined


SHORTEST_WORD = 0.03
TAIL = 0.2  # Seconds at the end of a stretch: quiet but for the last sound's fading.


def _items(words: Sequence[Any], offset: float, end: float) -> list[transcripts.Item]:
    kept = [word for word in words if word.start + offset < end]
    # After the last word the model may go on with one that nobody said: it takes no time, or begins in the quiet.
    while len(kept) > 1 and (kept[-1].end - kept[-1].start < SHORTEST_WORD or kept[-1].start + offset > end - TAIL):
        kept.pop()
    items: list[transcripts.Item] = []
    joined: list[Any] = []
    for word in kept:
        # "4539", "-1488": a number in groups is one word.
        if joined and word.text.startswith("-") and len(word.text) > 1:
            last = joined[-1]
            joined[-1] = type(last)(last.text + word.text, last.start, word.end, min(last.confidence, word.confidence))
        else:
            joined.append(word)
    for word in joined:
        items += transcripts.items_of(
            word.text, round(word.start + offset, 3), round(min(word.end + offset, end), 3), word.confidence
        )
    return items


def _first(items: Sequence[transcripts.Item]) -> float:
    return min(item.start for item in items if item.start is not None)


def _last(items: Sequence[transcripts.Item]) -> float:
    return max(item.end for item in items if item.end is not None)


def _redacted(
    segments: Sequence[transcripts.Segment], wanted: Request, known: Sequence[str]
) -> list[transcripts.Segment]:
    """Segments without the personal data of the wanted kinds. `known` are the display forms of the vocabulary: AWS
    forbids personal data there, so what lies within one of them is a name of something else."""
    from local.services.models.personal import personal_model

    shape: Any = service_model("transcribe").shape_for("PiiEntityType")
    kinds = set(wanted.get("PiiEntityTypes") or ["ALL"])
    if "ALL" in kinds:
        kinds = set(shape.enum)
    model = personal_model()

    def find(text: str) -> list[transcripts.Finding]:
        said = transcripts.spoken_numbers(text)
        read = [
            one
            for one in model.find(text)
            if not any(one.begin < other.end and other.begin < one.end for other in said)
        ]
        places = [match.span() for form in known for match in re.finditer(re.escape(form), text)]
        found: list[transcripts.Finding] = [*said, *read]
        return [one for one in found if not any(begin <= one.begin and one.end <= end for begin, end in places)]

    return [transcripts.redacted(one, find, kinds) for one in segments]


# --- Requests --------------------------------------------------------------------------------------------------------


def _refuse_unserved(request: Request) -> None:
    settings = request.get("Settings", {})
    unserved = [
        (bool(request.get("Subtitles", {}).get("Formats")), "Subtitles"),
        (bool(request.get("ModelSettings")), "ModelSettings (custom language models)"),
        ("ToxicityDetection" in request, "ToxicityDetection"),
        ("KMSEncryptionContext" in request, "KMSEncryptionContext"),
        (bool(settings.get("ShowAlternatives")), "Settings.ShowAlternatives"),
        (bool(settings.get("ChannelIdentification")), "Settings.ChannelIdentification"),
        ("OutputBucketName" not in request, "a job without OutputBucketName: there is no bucket of the service here"),
    ]
    for present, what in unserved:
        if present:
            raise ServiceError("NotImplemented", f"This local cloud does not serve {what}.", 501)
    if bool(settings.get("ShowSpeakerLabels")) != ("MaxSpeakerLabels" in settings):
        raise _bad("ShowSpeakerLabels and MaxSpeakerLabels must be given together.")
    if bool(settings.get("VocabularyFilterMethod")) and not (
        "VocabularyFilterName" in settings or "LanguageIdSettings" in request
    ):
        raise _bad("VocabularyFilterMethod needs VocabularyFilterName.")


def _language_choice(request: Request) -> list[str]:
    """The languages to choose among, [] for all. Raises ServiceError where the choice makes no sense."""
    ways = [way for way in ("LanguageCode", "IdentifyLanguage", "IdentifyMultipleLanguages") if request.get(way)]
    if len(ways) != 1:
        raise _bad("You must specify exactly one of LanguageCode, IdentifyLanguage and IdentifyMultipleLanguages.")
    options = list(request.get("LanguageOptions", ()))
    if options and ways == ["LanguageCode"]:
        raise _bad("LanguageOptions needs IdentifyLanguage or IdentifyMultipleLanguages.")
    if options and len(options) < 2:
        raise _bad("LanguageOptions must have at least two languages.")
    if len({code.partition("-")[0] for code in options}) < len(options):
        raise _bad("LanguageOptions may have one dialect of a language only.")
    settings = request.get("Settings", {})
    if "LanguageIdSettings" in request and ways == ["LanguageCode"]:
        raise _bad("LanguageIdSettings needs IdentifyLanguage or IdentifyMultipleLanguages.")
    if ways != ["LanguageCode"] and {"VocabularyName", "VocabularyFilterName"} & set(settings):
        raise _bad("With language identification, vocabularies and filters belong in LanguageIdSettings.")
    if "ContentRedaction" in request:
        if ways != ["LanguageCode"]:
            raise _bad("ContentRedaction is not compatible with language identification.")
        code = request["LanguageCode"]
        if code not in REDACTION_LANGUAGES:
            raise _bad(f"ContentRedaction is not available for {code}.")
        if not code.startswith("en-"):
            raise ServiceError(
                "NotImplemented", f"This local cloud finds personal data in English only, not in {code}.", 501
            )
    return options


def _refuse_encryption(request: Request) -> None:
    if "EncryptionConfiguration" in request:
        raise ServiceError(
            "NotImplemented", "This local cloud keeps vocabularies and filters in memory and encrypts none.", 501
        )


def _same_language(entry: _Entry, code: str | None, what: str) -> None:
    if code is not None and entry.members["LanguageCode"] != code:
        raise _bad(f"The {what} is for {entry.members['LanguageCode']}, the media for {code}.")


_HOSTED = re.compile(r"^(?:(?P<bucket>.+)\.)?s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com(?:\.cn)?$")


def _place(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` or `https://` address. Raises ServiceError."""
    parts = urlsplit(uri)
    if parts.scheme == "s3" and parts.path.strip("/"):
        return parts.netloc, uri.partition("://")[2].partition("/")[2]
    hosted = _HOSTED.fullmatch(parts.netloc)
    if parts.scheme == "https" and hosted:
        path = unquote(parts.path.lstrip("/"))
        bucket, key = (hosted["bucket"], path) if hosted["bucket"] else (path.partition("/")[0], path.partition("/")[2])
        if bucket and key:
            return bucket, key
    raise _bad(f"The URI {uri} doesn't point to an S3 object.")


def _read(uri: str, caller: Caller) -> bytes:
    bucket, key = _place(uri)
    try:
        return caller.read_object(bucket, key, None)
    except ObjectUnavailable as error:
        raise _bad(
            "The S3 URI that you provided can't be accessed. Make sure that you have read permission and try your "
            "request again."
        ) from error


def _media(uri: str, caller: Caller) -> bytes:
    data = _read(uri, caller)
    if len(data) > MAXIMUM_MEDIA_BYTES:
        raise _bad("The media file is larger than 2 GB.")
    return data


def _sound(media: bytes, request: Request) -> "Sound":
    from local.services.models import sound

    try:
        decoded = sound.decode(media, longest=LONGEST_SECONDS)
    except sound.OverlongSound as error:
        raise jobs.JobFailedError(
            "Invalid file size: file size too large. Maximum audio duration is 4.000000 hours. Check the length of the "
            "file and try your request again."
        ) from error
    except sound.UnreadableSound as error:
        raise jobs.JobFailedError(
            "The data in your input file isn't valid. Check the encoding of your media file and try your request again."
        ) from error
    wanted = request.get("MediaFormat")
    if wanted and wanted not in _formats(decoded):
        raise jobs.JobFailedError(
            "The media format that you specified doesn't match the detected media format. Check the media format and "
            "try your request again."
        )
    if request.get("MediaSampleRateHertz", decoded.rate) != decoded.rate:
        raise jobs.JobFailedError(
            "The sample rate that you specified doesn't match the detected sample rate. Check the sample rate and try "
            "your request again."
        )
    if decoded.seconds < SHORTEST_SECONDS:
        raise jobs.JobFailedError("The media file is shorter than 0.5 seconds.")
    return decoded


def _formats(sound: "Sound") -> set[str]:
    return {name for part in sound.container.split(",") for name in _FORMATS.get(part, ())} or {sound.container}


def _output_key(request: Request) -> str:
    name = f"{request['TranscriptionJobName']}.json"
    key: str = request.get("OutputKey", name)
    if key.endswith("/"):
        return key + name
    return key if key.endswith(".json") or "OutputKey" not in request else f"{key}.json"


def _write(actor: Caller, bucket: str, key: str, document: Members, request: Request) -> None:
    body = json.dumps(document, ensure_ascii=False).encode()
    encryption = request.get("OutputEncryptionKMSKeyId")
    try:
        actor.write_object(bucket, key, body, content_type="application/json", kms_key_id=encryption)
    except ObjectUnavailable as error:
        raise jobs.JobFailedError(
            "The output bucket can't be written. Make sure that you have write permission and try your request again."
        ) from error


def _uri(region: str, bucket: str, key: str) -> str:
    return f"https://s3.{region}.amazonaws.com/{bucket}/{key}"


def _list_text(request: Request, inline: str, file: str, caller: Caller) -> str:
    """The lines of a vocabulary or filter, given in the request or in a file."""
    if (inline in request) == (file in request):
        raise _bad(f"You must specify one of {inline} and {file}.")
    if inline in request:
        text = "\n".join(request[inline])
    else:
        role = request.get("DataAccessRoleArn")
        actor = caller.assume(role, "transcribe.amazonaws.com") if role else caller
        try:
            text = _read(request[file], actor).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _bad("The file must be UTF-8 text.") from error
    if len(text.encode()) > MAXIMUM_LIST_BYTES:
        raise _bad("The list is larger than 50 KB.")
    return text


_COLUMNS = {"Phrase", "SoundsLike", "IPA", "DisplayAs"}


def _vocabulary(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Display forms by plain letters, and phrases as spoken, of a table (tabs) or a list.

    Hyphens stand for spaces in a phrase, full stops follow letters that are spelt. SoundsLike and IPA are ignored, as
    AWS does today. Raises JobFailedError for what AWS refuses.
    """
    lines = [line.rstrip("\r") for line in text.splitlines() if line.strip()]
    if not lines:
        raise jobs.JobFailedError("The vocabulary is empty.")
    header = lines[0].split("\t")
    rows = [{"Phrase": line.strip()} for line in lines]
    if "Phrase" in header:
        if set(header) - _COLUMNS:
            raise jobs.JobFailedError(f"The vocabulary has unknown columns: {', '.join(set(header) - _COLUMNS)}.")
        rows = [dict(zip(header, (value.strip() for value in line.split("\t")), strict=False)) for line in lines[1:]]
    forms: dict[str, str] = {}
    spoken: list[str] = []
    for row in rows:
        phrase = row.get("Phrase", "")
        if not phrase or len(phrase) > MAXIMUM_ENTRY or re.search(r"[\s\d]", phrase):
            raise jobs.JobFailedError(
                f"The vocabulary entry {phrase!r} has no phrase, a space, a digit, or more than 256 characters."
            )
        said = re.sub(r"(?<=\w)-(?=\w)", " ", phrase.replace(".", ""))
        forms[transcripts.plain(phrase)] = row.get("DisplayAs") or said
        spoken.append(said)
    return forms, tuple(spoken)


def _page(found: list[Members], request: Request) -> tuple[list[Members], Members]:
    token = request.get("NextToken", "0")
    if not token.isdigit():
        raise _bad("The NextToken is not valid.")
    start, size = int(token), request.get("MaxResults", PAGE)
    more = {"NextToken": str(start + size)} if start + size < len(found) else {}
    return found[start : start + size], more


def _tags(request: Request) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", ())}


def _shown_tags(entry: _Entry) -> Members:
    return {"Tags": [{"Key": key, "Value": value} for key, value in entry.tags.items()]} if entry.tags else {}


def _home(caller: Caller) -> tuple[str, str]:
    return caller.account, caller.region


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _bad(message: str) -> ServiceError:
    return ServiceError("BadRequestException", message)


def _missing(message: str) -> ServiceError:
    return ServiceError("NotFoundException", message)


def _conflict(message: str) -> ServiceError:
    return ServiceError("ConflictException", message)
