"""Amazon Translate's texts, jobs and custom terminologies, with a small table of words in the place of a model.

What is real: terminologies (CSV, TSV, TMX; one direction or all) keep or replace their terms exactly and are reported
as applied; limits and errors; the detection of the source language (py3langid); jobs that read and write S3 as their
data access role, in the documented layout, with their events.

What is not: the translation. No permissively licensed model comes in a package, so set phrases and words are replaced
from a table of some 200 entries (`local/services/models/phrases.csv`: English, Spanish, German, French), without
grammar; what the table does not know stays as it is. Every other language is refused. So are documents other than plain
text, parallel data, formality, brevity and profanity, and encryption of terminologies, which are kept in memory.

Sources, read 2026-11-25: "Guidelines and quotas" (figures below), "Getting batch translation results" (layout),
"Creating a custom terminology" (formats, directionality), "Monitoring Amazon Translate events with Amazon EventBridge"
(the events' members: 2026-11-26), Amazon Translate Developer Guide; the documentation in botocore's service model.
"""

import csv
import datetime
import io
import json
import re
import threading
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from local.services import jobs
from local.services.models import phrases
from local.services.wire import Caller, JsonService, ObjectUnavailable, Operation, ServiceError

Request = Mapping[str, Any]
Members = dict[str, Any]

MAXIMUM_TEXT_BYTES = 10_000
MAXIMUM_DOCUMENT_BYTES = 1_000_000  # Of translatable text: "1 MB".
MAXIMUM_DOCUMENTS = 1_000_000
MAXIMUM_JOB_BYTES = 5 * 1024**3
MAXIMUM_TARGETS = 10
MAXIMUM_TERMINOLOGIES = 100
MAXIMUM_TERMINOLOGY_LANGUAGES = 10  # Targets a file.
MAXIMUM_TERM_BYTES = 200
MAXIMUM_APPLIED_TERMS = 250  # "AppliedTerminology", API Reference.
MAXIMUM_RUNNING_JOBS = 10
# Below this the detected language is a guess. The service's own threshold is not published.
LOWEST_CONFIDENCE = 0.5

_NAMES = {
    "en": phrases.LANGUAGES | {"auto": "Auto"},
    "es": {"auto": "Automático", "de": "Alemán", "en": "Inglés", "es": "Español", "fr": "Francés"},
    "de": {"auto": "Automatisch", "de": "Deutsch", "en": "Englisch", "es": "Spanisch", "fr": "Französisch"},
    "fr": {"auto": "Automatique", "de": "Allemand", "en": "Anglais", "es": "Espagnol", "fr": "Français"},
}


@dataclass(frozen=True)
class _Terminology:
    members: Members
    # One row a term: text by language.
    rows: tuple[Mapping[str, str], ...]
    source: str
    tags: dict[str, str] = field(default_factory=dict)

    def pairs(self, source: str, target: str) -> dict[str, str]:
        """Terms from one language to another; none where the directions do not allow it."""
        if self.members["Directionality"] == "UNI" and source != self.source:
            return {}
        return {row[source]: row[target] for row in self.rows if source in row and target in row}


@dataclass
class _Job:
    members: Members
    stopped: threading.Event = field(default_factory=threading.Event)


class Translate(JsonService):
    """TranslateText, translation jobs, terminologies and their tags."""

    name: ClassVar[str] = "translate"
    iam_namespace: ClassVar[str] = "translate"
    target_prefix: ClassVar[str] = "AWSShineFrontendService_20170701"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._terminologies: dict[tuple[str, str, str], _Terminology] = {}
        self._jobs: dict[tuple[str, str, str], _Job] = {}
        self._tokens: dict[tuple[str, str, str], str] = {}

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "DeleteTerminology": self._delete_terminology,
            "DescribeTextTranslationJob": self._describe,
            "GetTerminology": self._get_terminology,
            "ImportTerminology": self._import,
            "ListLanguages": _list_languages,
            "ListTagsForResource": self._list_tags,
            "ListTerminologies": self._list_terminologies,
            "ListTextTranslationJobs": self._list_jobs,
            "StartTextTranslationJob": self._start,
            "StopTextTranslationJob": self._stop,
            "TagResource": self._tag,
            "TranslateText": self._translate,
            "UntagResource": self._untag,
        }

    def _answer(self, operation: str, body: bytes, caller: Caller) -> Any:
        # The service tells a long text's size before anything else of it.
        if operation == "TranslateText":
            _check_size(body)
        return super()._answer(operation, body, caller)

    # --- Texts ---

    def _translate(self, request: Request, caller: Caller) -> Members:
        _refuse_settings(request)
        names = request.get("TerminologyNames", ())
        if len(names) > 1:
            raise ServiceError("InvalidRequestException", "At most one terminology can be applied.")
        terminologies = [self._terminology(name, caller) for name in names]
        text = request["Text"]
        source = _source(request["SourceLanguageCode"], text)
        target = request["TargetLanguageCode"]
        _check_pair(source, target)
        translated, applied = _apply(text, source, target, terminologies)
        answer = {"TranslatedText": translated, "SourceLanguageCode": source, "TargetLanguageCode": target}
        return answer | ({"AppliedTerminologies": applied} if names else {})

    # --- Jobs ---

    def _start(self, request: Request, caller: Caller) -> Members:
        _refuse_settings(request)
        if request.get("ParallelDataNames"):
            raise _not_served("parallel data")
        if request["InputDataConfig"]["ContentType"] != "text/plain":
            raise _not_served(f"documents of type {request['InputDataConfig']['ContentType']}")
        if len(request.get("TerminologyNames", ())) > 1:
            raise ServiceError("InvalidRequestException", "At most one terminology can be applied.")
        targets = request["TargetLanguageCodes"]
        if len(targets) > MAXIMUM_TARGETS:
            raise ServiceError("InvalidParameterValueException", f"At most {MAXIMUM_TARGETS} target languages.")
        for target in targets:
            if request["SourceLanguageCode"] == "auto":
                _check_pair("en", target)
            else:
                _check_pair(request["SourceLanguageCode"], target)
        terminologies = [self._terminology(name, caller) for name in request.get("TerminologyNames", ())]
        with self._lock:
            token = (*_home(caller), request["ClientToken"])
            if token in self._tokens:
                known = self._jobs[_key(caller, self._tokens[token])].members
                return {"JobId": known["JobId"], "JobStatus": known["JobStatus"]}
        role = caller.assume(request["DataAccessRoleArn"], "translate.amazonaws.com")
        identity = uuid.uuid4().hex
        members = {
            key: request[key]
            for key in (
                "JobName", "SourceLanguageCode", "TargetLanguageCodes", "TerminologyNames", "InputDataConfig",
                "DataAccessRoleArn",
            )
            if key in request
        }  # fmt: skip
        output = request["OutputDataConfig"]["S3Uri"].rstrip("/")
        members["OutputDataConfig"] = dict(request["OutputDataConfig"]) | {
            "S3Uri": f"{output}/{caller.account}-TranslateText-{identity}/"
        }
        members |= {"JobId": identity, "JobStatus": "SUBMITTED", "SubmittedTime": _now()}
        job = _Job(members)
        with self._lock:
            running = [
                one
                for key, one in self._jobs.items()
                if key[:2] == _home(caller) and one.members["JobStatus"] in ("SUBMITTED", "IN_PROGRESS")
            ]
            if len(running) >= MAXIMUM_RUNNING_JOBS:
                # Queued on AWS; here no queue is kept.
                raise ServiceError("TooManyRequestsException", f"{MAXIMUM_RUNNING_JOBS} jobs are running already.")
            self._jobs[_key(caller, identity)] = job
            self._tokens[token] = identity
        jobs.submit(
            self.name,
            "StartTextTranslationJob",
            lambda: self._run(job, terminologies, caller, role),
            lambda error: self._end(job, caller, "FAILED", str(error)),
        )
        return {"JobId": identity, "JobStatus": "SUBMITTED"}

    def _run(self, job: _Job, terminologies: Sequence[_Terminology], caller: Caller, role: Caller) -> None:
        members = job.members
        with self._lock:
            if members["JobStatus"] == "SUBMITTED":
                members["JobStatus"] = "IN_PROGRESS"
        bucket, prefix = _place(members["InputDataConfig"]["S3Uri"])
        keys = _documents(bucket, prefix, role)
        translated, failed, total = 0, 0, 0
        details: dict[str, list[Members]] = {target: [] for target in members["TargetLanguageCodes"]}
        characters = dict.fromkeys(details, 0)
        for key in keys:
            if job.stopped.is_set():
                break
            try:
                data = role.read_object(bucket, key, None)
            except ObjectUnavailable as error:
                raise jobs.JobFailedError(f"A document could not be read: {error.message}") from error
            total += len(data)
            if total > MAXIMUM_JOB_BYTES:
                raise jobs.JobFailedError("The documents are larger than 5 GB.")
            fine = True
            for target, found in details.items():
                found.append(self._document(key, data, target, members, terminologies, role))
                if "error" in found[-1]["auxiliaryData"]:
                    fine = False
                else:
                    characters[target] += len(data.decode("utf-8"))
            translated, failed = translated + fine, failed + (not fine)
        for target, found in details.items():
            self._summary(target, found, characters[target], members, role)
        counts = {"TranslatedDocumentsCount": translated, "DocumentsWithErrorsCount": failed}
        with self._lock:
            members["JobDetails"] = counts | {"InputDocumentsCount": len(keys)}
        if job.stopped.is_set():
            self._end(job, caller, "STOPPED")
        elif not translated:
            self._end(job, caller, "FAILED", "No document could be translated.")
        else:
            self._end(job, caller, "COMPLETED_WITH_ERROR" if failed else "COMPLETED")

    @staticmethod
    def _document(  # noqa: PLR0917 (one document's part of a job)
        key: str, data: bytes, target: str, members: Members, terminologies: Sequence[_Terminology], role: Caller
    ) -> Members:
        name = key.rpartition("/")[2]
        try:
            text, source = _readable(data, members["SourceLanguageCode"], target)
        except _DocumentError as error:
            problem = {"statusCode": "400", "message": str(error)}
            return {"sourceFile": name, "auxiliaryData": {"error": problem}}
        result, applied = _apply(text, source, target, terminologies)
        _write(role, members["OutputDataConfig"], f"{target}.{name}", result.encode(), "text/plain")
        shown = [
            {"name": one["Name"], "terms": [
                {"sourceText": term["SourceText"], "targetText": term["TargetText"]} for term in one["Terms"]
            ]}
            for one in applied
        ]  # fmt: skip
        return {
            "sourceFile": name, "targetFile": f"{target}.{name}", "auxiliaryData": {"appliedTerminologies": shown},
        }  # fmt: skip

    @staticmethod
    def _summary(target: str, found: list[Members], characters: int, members: Members, role: Caller) -> None:
        errors = sum("error" in one["auxiliaryData"] for one in found)
        document = {
            "sourceLanguageCode": members["SourceLanguageCode"],
            "targetLanguageCode": target,
            "charactersTranslated": str(characters),
            "documentCountWithCustomerError": str(errors),
            "documentCountWithServerError": "0",
            "inputDataPrefix": members["InputDataConfig"]["S3Uri"],
            "outputDataPrefix": members["OutputDataConfig"]["S3Uri"],
            "details": found,
        }
        body = json.dumps(document, ensure_ascii=False).encode()
        name = f"details/{target}.auxiliary-translation-details.json"
        _write(role, members["OutputDataConfig"], name, body, "application/json")

    def _end(self, job: _Job, caller: Caller, status: str, message: str = "") -> None:
        with self._lock:
            job.members |= {"JobStatus": status, "EndTime": _now()} | ({"Message": message} if message else {})
        detail = {"jobId": job.members["JobId"], "jobStatus": status}
        caller.emit("aws.translate", "Translate TextTranslationJob State Change", detail)

    def _job(self, request: Request, caller: Caller) -> _Job:
        with self._lock:
            job = self._jobs.get((*_home(caller), request["JobId"]))
        if job is None:
            raise _missing(f"There is no job {request['JobId']}.")
        return job

    def _describe(self, request: Request, caller: Caller) -> Members:
        with self._lock:
            return {"TextTranslationJobProperties": dict(self._job(request, caller).members)}

    def _stop(self, request: Request, caller: Caller) -> Members:
        with self._lock:
            job = self._job(request, caller)
            if job.members["JobStatus"] in ("SUBMITTED", "IN_PROGRESS"):
                job.stopped.set()
                job.members["JobStatus"] = "STOP_REQUESTED"
            return {"JobId": request["JobId"], "JobStatus": job.members["JobStatus"]}

    def _list_jobs(self, request: Request, caller: Caller) -> Members:
        wanted = request.get("Filter", {})
        with self._lock:
            found = [dict(job.members) for key, job in self._jobs.items() if key[:2] == _home(caller)]
        found = [
            one
            for one in found
            if wanted.get("JobName") in (None, one.get("JobName"))
            and wanted.get("JobStatus") in (None, one["JobStatus"])
            and ("SubmittedAfterTime" not in wanted or one["SubmittedTime"] > wanted["SubmittedAfterTime"])
            and ("SubmittedBeforeTime" not in wanted or one["SubmittedTime"] < wanted["SubmittedBeforeTime"])
        ]
        found.sort(key=lambda one: one["SubmittedTime"], reverse=True)
        page, token = _page(found, request, "InvalidRequestException")
        return {"TextTranslationJobPropertiesList": page} | token

    # --- Terminologies ---

    def _import(self, request: Request, caller: Caller) -> Members:
        if "EncryptionKey" in request:
            raise _not_served("encryption of terminologies: it keeps them in memory")
        data, name = request["TerminologyData"], request["Name"]
        header, rows, skipped = _terms(data["File"], data["Format"])
        direction = data.get("Directionality", "UNI")
        if len(header) - 1 > MAXIMUM_TERMINOLOGY_LANGUAGES:
            raise _invalid(f"A terminology has at most {MAXIMUM_TERMINOLOGY_LANGUAGES} target languages.")
        with self._lock:
            key = (*_home(caller), name)
            known = self._terminologies.get(key)
            if known is None and sum(one[:2] == _home(caller) for one in self._terminologies) >= MAXIMUM_TERMINOLOGIES:
                raise ServiceError("LimitExceededException", f"You have {MAXIMUM_TERMINOLOGIES} terminologies already.")
            now = _now()
            members = {
                "Name": name,
                "Arn": f"arn:aws:translate:{caller.region}:{caller.account}:terminology/{name}/LATEST",
                "SourceLanguageCode": header[0], "TargetLanguageCodes": list(header[1:]),
                "SizeBytes": len(data["File"]), "TermCount": len(rows) * (len(header) - 1),
                "CreatedAt": known.members["CreatedAt"] if known else now, "LastUpdatedAt": now,
                "Directionality": direction, "Format": data["Format"], "SkippedTermCount": skipped,
            }  # fmt: skip
            members |= {"Description": request["Description"]} if "Description" in request else {}
            tags = known.tags if known else {}
            tags |= {tag["Key"]: tag["Value"] for tag in request.get("Tags", ())}
            self._terminologies[key] = _Terminology(members, tuple(rows), header[0], tags)
        return {"TerminologyProperties": members}

    def _terminology(self, name: str, caller: Caller) -> _Terminology:
        with self._lock:
            found = self._terminologies.get((*_home(caller), name))
        if found is None:
            raise _missing(f"There is no terminology {name}.")
        return found

    def _get_terminology(self, request: Request, caller: Caller) -> Members:
        # Its data is downloaded from a bucket of the service, which is not here: the properties alone.
        return {"TerminologyProperties": self._terminology(request["Name"], caller).members}

    def _list_terminologies(self, request: Request, caller: Caller) -> Members:
        with self._lock:
            found = [one.members for key, one in sorted(self._terminologies.items()) if key[:2] == _home(caller)]
        page, token = _page(found, request, "InvalidParameterValueException")
        return {"TerminologyPropertiesList": page} | token

    def _delete_terminology(self, request: Request, caller: Caller) -> Members:
        with self._lock:
            self._terminology(request["Name"], caller)
            del self._terminologies[_key(caller, request["Name"])]
        return {}

    def _by_arn(self, request: Request, caller: Caller) -> _Terminology:
        name = request["ResourceArn"].partition(":terminology/")[2].removesuffix("/LATEST")
        return self._terminology(name, caller)

    def _tag(self, request: Request, caller: Caller) -> Members:
        self._by_arn(request, caller).tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return {}

    def _untag(self, request: Request, caller: Caller) -> Members:
        for key in request["TagKeys"]:
            self._by_arn(request, caller).tags.pop(key, None)
        return {}

    def _list_tags(self, request: Request, caller: Caller) -> Members:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._by_arn(request, caller).tags.items()]}


class _DocumentError(Exception):
    """One document of a job cannot be translated; the others can."""


def _documents(bucket: str, prefix: str, role: Caller) -> list[str]:
    """The keys in the input folder itself: its subfolders are not read. Raises JobFailedError."""
    try:
        keys = [key for key in role.list_objects(bucket, prefix) if not key.endswith("/")]
    except ObjectUnavailable as error:
        raise jobs.JobFailedError(f"The input could not be listed: {error.message}") from error
    keys = [key for key in keys if "/" not in key.removeprefix(prefix).lstrip("/")]
    if not keys:
        raise jobs.JobFailedError("No documents were found in the input folder.")
    if len(keys) > MAXIMUM_DOCUMENTS:
        raise jobs.JobFailedError(f"At most {MAXIMUM_DOCUMENTS} documents can be translated in a job.")
    return keys


def _readable(data: bytes, code: str, target: str) -> tuple[str, str]:
    """A document's text and its language. Raises _DocumentError."""
    if len(data) > MAXIMUM_DOCUMENT_BYTES:
        raise _DocumentError("The document is larger than 1 MB.")
    try:
        text = data.decode("utf-8")
        source = _source(code, text)
        _check_pair(source, target)
    except UnicodeDecodeError as error:
        raise _DocumentError("The document is not UTF-8 text.") from error
    except ServiceError as error:
        raise _DocumentError(error.message) from error
    return text, source


def _list_languages(request: Request, _caller: Caller) -> Members:
    """The languages that are served here, not those of AWS."""
    display = request.get("DisplayLanguageCode", "en")
    if display not in _NAMES:
        raise ServiceError("UnsupportedDisplayLanguageCodeException", f"Names are known in {', '.join(_NAMES)} only.")
    found = [{"LanguageName": name, "LanguageCode": code} for code, name in sorted(_NAMES[display].items())]
    page, token = _page(found, request, "InvalidParameterValueException")
    return {"Languages": page, "DisplayLanguageCode": display} | token


def _check_size(body: bytes) -> None:
    try:
        text = json.loads(body or b"{}").get("Text", "")
    except (ValueError, AttributeError):
        return  # Told by the one who parses it.
    size = len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else 0
    if size > MAXIMUM_TEXT_BYTES:
        raise ServiceError(
            "TextSizeLimitExceededException",
            f"Input text size exceeds limit. Max length of request text allowed is {MAXIMUM_TEXT_BYTES} bytes while in "
            f"this request the text size is {size} bytes",
        )


def _source(code: str, text: str) -> str:
    """The source language: as it was said, or detected. Raises ServiceError."""
    if code != "auto":
        return code
    from local.services.models.language import language_model

    language, score = language_model().rank(text)[0]
    if score < LOWEST_CONFIDENCE:
        raise ServiceError(
            "DetectedLanguageLowConfidenceException",
            f"The source language could not be detected with confidence: {language} has {score:.2f}.",
        )
    return language


def _check_pair(source: str, target: str) -> None:
    if source not in phrases.LANGUAGES or target not in phrases.LANGUAGES:
        raise ServiceError(
            "UnsupportedLanguagePairException",
            f"Unsupported language pair: {source} to {target}. This local cloud has a table of words for "
            f"{', '.join(sorted(phrases.LANGUAGES))}.",
        )


def _apply(text: str, source: str, target: str, terminologies: Sequence[_Terminology]) -> tuple[str, list[Members]]:
    """The translation, and what was applied. Terms match whole words and their case, the longest first."""
    pairs: dict[str, str] = {}
    for one in terminologies:
        pairs |= one.pairs(source, target)
    if not pairs:
        shown = [{"Name": one.members["Name"], "Terms": []} for one in terminologies]
        return phrases.translate(text, source, target), shown
    known = sorted(pairs, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)")
    used: dict[str, None] = dict.fromkeys(match.group() for match in pattern.finditer(text))
    translated = phrases.translate_around(text, pattern, pairs.__getitem__, source, target)
    terms = [{"SourceText": term, "TargetText": pairs[term]} for term in list(used)[:MAXIMUM_APPLIED_TERMS]]
    return translated, [{"Name": one.members["Name"], "Terms": terms} for one in terminologies]


def _terms(data: bytes, kind: str) -> tuple[list[str], list[dict[str, str]], int]:
    """Languages (the source first), rows of terms by language, and how many terms were skipped. Raises ServiceError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid("The terminology is not UTF-8 text.") from error
    header, table = _tmx(text) if kind == "TMX" else _table(text, "\t" if kind == "TSV" else ",")
    if len(header) < 2 or len(set(header)) < len(header):
        raise _invalid("The terminology needs a header with a source language and at least one target language.")
    rows, skipped = [], 0
    seen: set[str] = set()
    for line in table:
        row = {code: value for code, value in zip(header, line, strict=False) if value}
        source = row.get(header[0], "")
        if not source or len(row) < 2 or source in seen:
            skipped += 1
            continue
        if any(len(value.encode()) > MAXIMUM_TERM_BYTES for value in row.values()):
            raise _invalid(f"A term is longer than {MAXIMUM_TERM_BYTES} bytes.")
        seen.add(source)
        rows.append(row)
    if not rows:
        raise _invalid("The terminology has no terms.")
    return header, rows, skipped


def _table(text: str, delimiter: str) -> tuple[list[str], list[list[str]]]:
    try:
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if any(line)]
    except csv.Error as error:
        raise _invalid(f"The terminology is not well-formed: {error}.") from error
    if not lines:
        raise _invalid("The terminology is empty.")
    if any(len(line) != len(lines[0]) for line in lines):
        raise _invalid("Every row of the terminology needs as many columns as its header.")
    return [code.strip() for code in lines[0]], [[value.strip() for value in line] for line in lines[1:]]


_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def _tmx(text: str) -> tuple[list[str], list[list[str]]]:
    if "<!ENTITY" in text:
        raise _invalid("The terminology may not declare entities.")
    try:
        root = ET.fromstring(text)  # noqa: S314 (no entities, see above)
    except ET.ParseError as error:
        raise _invalid(f"The terminology is not well-formed: {error}.") from error
    head = root.find("header")
    if root.tag != "tmx" or head is None:
        raise _invalid("The terminology is no TMX document.")
    source = head.get("srclang", "")
    rows: list[dict[str, str]] = []
    for unit in root.iter("tu"):
        row = {
            variant.get(_LANG, variant.get("lang", "")): "".join(segment.itertext()).strip()
            for variant in unit.iter("tuv")
            if (segment := variant.find("seg")) is not None
        }
        rows.append(row)
    targets = sorted({code for row in rows for code in row} - {source})
    header = [source, *targets]
    return header, [[row.get(code, "") for code in header] for row in rows]


def _refuse_settings(request: Request) -> None:
    if request.get("Settings"):
        raise _not_served(f"the settings {', '.join(sorted(request['Settings']))}: its table of words has no styles")


def _place(uri: str) -> tuple[str, str]:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix


def _write(role: Caller, output: Request, name: str, body: bytes, content_type: str) -> None:
    bucket, prefix = _place(output["S3Uri"])
    encryption = output.get("EncryptionKey", {}).get("Id")
    try:
        role.write_object(bucket, prefix + name, body, content_type=content_type, kms_key_id=encryption)
    except ObjectUnavailable as error:
        raise jobs.JobFailedError(f"The output could not be written: {error.message}") from error


def _page(found: list[Members], request: Request, code: str) -> tuple[list[Members], Members]:
    token = request.get("NextToken", "0")
    if not token.isdigit():
        raise ServiceError(code, "The NextToken is not valid.")
    start, size = int(token), request.get("MaxResults", 500)
    more = {"NextToken": str(start + size)} if start + size < len(found) else {}
    return found[start : start + size], more


def _home(caller: Caller) -> tuple[str, str]:
    return caller.account, caller.region


def _key(caller: Caller, name: str) -> tuple[str, str, str]:
    return caller.account, caller.region, name


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message)


def _missing(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message)


def _not_served(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"This local cloud does not serve {what}.", 501)
