"""The state machine of call-analytics, in the order in which a call passes through it.

Plain Amazon States Language with JSONata, as it stands in the console, for that is what an operator reads when
something is wrong. What passes from state to state is names of jobs, numbers, and places in S3: never a word of the
call. Variables (`Assign`) carry what is known of it.

A job is awaited, not asked again and again: `Start ...` starts it by the service's own API, `Wait for ...` keeps a
token by the job's name, and an event that the job has ended brings the token back
(`lambdas/call_analytics/waiting.py`). Events are sent with best effort (Amazon EventBridge, "Amazon Transcribe events",
read 2026-11-25): when none comes in time, the job is asked once.

Names of jobs are those of their executions, so a start that is tried again finds the job that the first attempt has
made. To analyse a failed call once more, start an execution of another name with the same input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.language.languages import ONE_VOICE, REDACTED, TRANSLATED, analysed

State = dict[str, Any]

INVOKE = "arn:{partition}:states:::lambda:invoke"
CALLBACK = f"{INVOKE}.waitForTaskToken"
UPDATE_ITEM = "arn:{partition}:states:::dynamodb:updateItem"
PUBLISH = "arn:{partition}:states:::sns:publish"
SDK = "arn:{partition}:states:::aws-sdk:"

# Errors that another attempt would meet again: no retry.
LASTING = [
    "AccessDenied",
    "AccessDeniedException",
    "ComprehendRefused",
    "KMSAccessDeniedException",
    "MalformedTranscript",
    "S3.AccessDeniedException",
    "Transcribe.AccessDeniedException",
    "Transcribe.BadRequestException",
    "Transcribe.ConflictException",
    "Transcribe.NotFoundException",
    "Translate.AccessDeniedException",
    "Translate.InvalidRequestException",
    "Translate.UnsupportedLanguagePairException",
    "TranslationIncomplete",
    "UnsupportedLanguagePairException",
]

# A call that has not come back by then will not: Lambda ends every function after 15 minutes at most (AWS Lambda
# Developer Guide, "Lambda quotas"). Without it a state would wait for 99,999,999 seconds.
TASK_SECONDS = 900

IDENTIFIED = "identified/"
TRANSCRIPTS = "transcripts/"
OPEN = "open/"

# What the states of a job are called that redacts, or does not.
TRANSCRIPTION = {"redact": "redacted transcription", "open": "open transcription"}


@dataclass(frozen=True)
class Parts:
    """What the states call: ARNs and names, as tokens of the template."""

    partition: str
    admit: str
    await_job: str
    read_transcript: str
    translate: str
    analyse: str
    report: str
    speak: str
    calls_table: str
    bucket: str
    failure_topic: str
    key: str
    job_prefix: str
    translate_role: str


@dataclass(frozen=True)
class Choices:
    """Settings that show in the definition. Times in seconds."""

    languages: tuple[str, ...]
    house_language: str
    personal_data: str
    keep_unredacted: bool
    redacted_types: tuple[str, ...]
    language_resources: str
    maximum_speakers: int
    translate_at_once_bytes: int
    spoken_summary: str
    job_timeout: int
    retry_attempts: int
    retry_seconds: int
    timeout: int


class Workflow:
    """Makes the definition. One method a step, in order."""

    def __init__(self, parts: Parts, choices: Choices) -> None:
        self.parts = parts
        self.choices = choices

    def definition(self) -> State:
        """The definition as a dictionary, for `Stack.to_json_string`."""
        return {
            "Comment": "Transcribes a call, translates and analyses it, and reports what was found",
            "QueryLanguage": "JSONata",
            "StartAt": "Register",
            "TimeoutSeconds": self.choices.timeout,
            "States": {
                "Register": self._register(),
                "Already done": {"Type": "Succeed"},
                "Admit": self._admit(),
                "What is known": self._what_is_known(),
                **self._identification(),
                "What the language allows": self._what_the_language_allows(),
                **(self._transcription("redact") if self.choices.personal_data != "keep" else {}),
                **(self._transcription("open") if self.choices.personal_data != "redact-or-withhold" else {}),
                "Read transcript": self._read_transcript(),
                "How to translate": self._how_to_translate(),
                **self._translation(),
                "What to analyse": self._what_to_analyse(),
                "Analyse": self._analyse(),
                "Report": self._report(),
                **self._spoken(),
                "Complete": self._complete(),
                "Completed": {"Type": "Succeed"},
                **(self._withheld() if self.choices.personal_data == "redact-or-withhold" else {}),
                "Record rejection": self._end_row(
                    "REJECTED",
                    {"reason": {"M": {"code": _text("$states.input.code"), "message": _text("$states.input.message")}}},
                    "Rejected",
                ),
                "Rejected": {"Type": "Succeed"},
                "Record failure": self._end_row(
                    "FAILED",
                    {"reason": {"M": {"code": _text("$failure.code"), "message": _text("$failure.cause")}}},
                    "Tell of failure",
                    last_resort="Tell of failure",
                ),
                "Tell of failure": self._tell_of_failure(),
                "Failed": {"Type": "Fail", "Error": "{% $failure.code %}", "Cause": "{% $failure.cause %}"},
            },
        }

    # --- what comes in

    def _register(self) -> State:
        """A call that is done stays done, whoever starts it again; one that failed may be tried again."""
        return self._task(
            UPDATE_ITEM,
            self._row(
                "SET #status = :status, #audio = :audio, #version = :version, #execution = :execution,"
                " started_at = :now REMOVE reason, ended_at",
                {
                    ":status": {"S": "PROCESSING"},
                    ":audio": _text("$states.input.bucket & '/' & $states.input.key"),
                    ":version": _text("$states.input.version"),
                    ":execution": _text("$states.context.Execution.Id"),
                    ":now": _text("$now()"),
                    ":failed": {"S": "FAILED"},
                },
                names={"#status": "status", "#audio": "audio", "#version": "version", "#execution": "execution"},
                condition="attribute_not_exists(#status) OR #status IN (:status, :failed)",
                call="$states.input.call",
            ),
            "Admit",
            catch=[{"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Already done"}],
            Assign={
                "call": "{% $states.input.call %}",
                "redacted": False,
                "translated": False,
                "summary": "",
                "transcript": "",
                "job": f"{{% '{self.parts.job_prefix}' & $states.context.Execution.Name %}}",
            },
            Output="{% $states.input %}",
        )

    def _admit(self) -> State:
        return self._invoke(
            "admit",
            {name: f"{{% $states.input.{name} %}}" for name in ("bucket", "key", "version")},
            "What is known",
            Output="{% $states.result.Payload %}",
        )

    def _what_is_known(self) -> State:
        """A file that is no audio is done with; a language that the uploader told need not be identified."""
        known = {
            "Assign": {
                "language": "{% $states.input.language %}",
                "media": "{% $states.input.media %}",
                "format": "{% $states.input.format %}",
                "spoken": "{% $states.input.spoken %}",
            },
            "Output": {},
        }
        rejected = {
            "Condition": "{% $not($states.input.admitted) %}",
            "Output": {"code": "{% $states.input.code %}", "message": "{% $states.input.message %}"},
            "Next": "Record rejection",
        }
        unknown = {"Condition": "{% $states.input.language = '' %}", **known, "Next": "Start identification"}
        return {"Type": "Choice", "Choices": [rejected, unknown], **known, "Default": "What the language allows"}

    # --- speech

    def _identification(self) -> dict[str, State]:
        """A job that finds out the language. Its transcript serves where nothing is to be redacted, else nobody reads
        it."""
        resources = self.choices.language_resources
        request = {
            **self._media("-identify", IDENTIFIED),
            "IdentifyLanguage": True,
            "LanguageOptions": list(self.choices.languages),
            # Here vocabularies are named beside the settings: one for each language.
            "LanguageIdSettings": {
                language: {
                    "VocabularyName": f"{resources}-{language}",
                    "VocabularyFilterName": f"{resources}-{language}",
                }
                for language in self.choices.languages
            },
            # Its language shows in the end only: what one of them cannot have, none is asked for.
            "Settings": {**({} if self._one_voice else self._speakers()), "VocabularyFilterMethod": "mask"},
        }
        return self._job(
            "identification",
            "-identify",
            request,
            "What the language allows",
            {
                "language": "{% $states.result.TranscriptionJob.LanguageCode %}",
                "transcript": f"{{% '{IDENTIFIED}' & $job & '-identify.json' %}}",
            },
        )

    def _what_the_language_allows(self) -> State:
        """By today's list: redacted where the language can be; else withheld, or analysed as it is."""
        # What the identification heard without telling speakers apart serves where nothing else can be had.
        enough = f" and $language in {_list(self._one_voice)}" if self._one_voice else ""
        read = {"Condition": f"{{% $transcript != ''{enough} %}}", "Next": "Read transcript"}
        if self.choices.personal_data == "keep":
            return {"Type": "Choice", "Choices": [read], "Default": self._transcribed("open")}
        can = f"{{% $language in {_list(REDACTED)} %}}"
        redact = {"Condition": can, "Assign": {"redacted": True}, "Next": self._transcribed("redact")}
        if self.choices.personal_data == "redact-or-withhold":
            return {"Type": "Choice", "Choices": [redact], "Default": "Withhold"}
        return {"Type": "Choice", "Choices": [redact, read], "Default": self._transcribed("open")}

    def _transcribed(self, kind: str) -> str:
        """The first state of a transcription."""
        return f"{'Speakers in' if self._one_voice else 'Start'} {TRANSCRIPTION[kind]}"

    def _transcription(self, kind: str) -> dict[str, State]:
        """A job in a language that is known, which redacts or does not; and another for languages of one voice, where
        calls may come in one."""
        suffix, folder = f"-{kind}", TRANSCRIPTS if kind == "redact" else OPEN
        request = {**self._media(suffix, folder), "LanguageCode": "{% $language %}"}
        named = f"{{% '{self.choices.language_resources}-' & $language %}}"
        settings = {
            "VocabularyName": named,
            "VocabularyFilterName": named,
            "VocabularyFilterMethod": "mask",
        }
        written = f"'{folder}' & $job & '{suffix}.json'"
        if kind == "redact":
            request["ContentRedaction"] = {
                "RedactionType": "PII",
                "RedactionOutput": "redacted_and_unredacted" if self.choices.keep_unredacted else "redacted",
                "PiiEntityTypes": list(self.choices.redacted_types),
            }
            written = f"'{folder}redacted-' & $job & '{suffix}.json'"
        name = TRANSCRIPTION[kind]
        several = {**request, "Settings": {**self._speakers(), **settings}}
        states = self._job(name, suffix, several, "Read transcript", {"transcript": f"{{% {written} %}}"})
        if not self._one_voice:
            return states
        one, start_of_one = {**request, "Settings": settings}, f"Start {name} of one voice"
        branch = {"Condition": f"{{% $language in {_list(self._one_voice)} %}}", "Next": start_of_one}
        return {
            self._transcribed(kind): {"Type": "Choice", "Choices": [branch], "Default": f"Start {name}"},
            start_of_one: self._start_job(one, f"Wait for {name}"),
            **states,
        }

    def _media(self, suffix: str, folder: str) -> State:
        return {
            "TranscriptionJobName": f"{{% $job & '{suffix}' %}}",
            "Media": {"MediaFileUri": "{% $media %}"},
            "MediaFormat": "{% $format %}",
            "OutputBucketName": self.parts.bucket,
            "OutputKey": f"{{% '{folder}' & $job & '{suffix}.json' %}}",
            "OutputEncryptionKMSKeyId": self.parts.key,
        }

    def _speakers(self) -> State:
        return {"ShowSpeakerLabels": True, "MaxSpeakerLabels": self.choices.maximum_speakers}

    @property
    def _one_voice(self) -> list[str]:
        """Those of the settings' languages in which speakers cannot be told apart. The machine has no branch for them
        where there are none."""
        return [language for language in self.choices.languages if language in ONE_VOICE]

    def _job(
        self, name: str, suffix: str, request: Mapping[str, Any], following: str, assign: Mapping[str, Any]
    ) -> dict[str, State]:
        """Start a job of Transcribe, wait for its end, see what became of it."""
        start, wait, look, judge = f"Start {name}", f"Wait for {name}", f"Look at {name}", f"How {name} went"
        return {
            start: self._start_job(request, wait),
            wait: self._wait(f"{{% $job & '{suffix}' %}}", look),
            look: self._task(
                f"{SDK}transcribe:getTranscriptionJob",
                {"TranscriptionJobName": f"{{% $job & '{suffix}' %}}"},
                judge,
                Output="{% $states.result.TranscriptionJob %}",
            ),
            judge: {
                "Type": "Choice",
                "Choices": [
                    {
                        "Condition": "{% $states.input.TranscriptionJobStatus = 'COMPLETED' %}",
                        "Assign": {
                            key: value.replace("$states.result.TranscriptionJob", "$states.input")
                            for key, value in assign.items()
                        },
                        "Output": {},
                        "Next": following,
                    },
                    {
                        "Condition": "{% $states.input.TranscriptionJobStatus = 'FAILED' %}",
                        "Assign": {
                            "failure": {
                                "code": "TranscriptionFailed",
                                "cause": "{% $exists($states.input.FailureReason) ?"
                                " $states.input.FailureReason : 'Transcribe gives no reason.' %}",
                            }
                        },
                        "Output": {},
                        "Next": "Record failure",
                    },
                ],
                "Assign": {"failure": _overdue("transcription")},
                "Output": {},
                "Default": "Record failure",
            },
        }

    def _start_job(self, request: Mapping[str, Any], wait: str) -> State:
        return self._task(
            f"{SDK}transcribe:startTranscriptionJob",
            request,
            wait,
            # An earlier attempt has made it, and its answer was lost.
            catch=[{"ErrorEquals": ["Transcribe.ConflictException"], "Output": {}, "Next": wait}, self._failed()],
            Output={},
        )

    def _wait(self, job: str, following: str) -> State:
        """When no event comes in time, the job is asked all the same: events are not promised."""
        return self._invoke(
            "await_job",
            {"job": job, "token": "{% $states.context.Task.Token %}"},
            following,
            resource=CALLBACK,
            with_call=False,
            catch=[{"ErrorEquals": ["States.Timeout"], "Output": {}, "Next": following}, self._failed()],
            timeout=self.choices.job_timeout,
            Output={},
        )

    def _read_transcript(self) -> State:
        return self._invoke(
            "read_transcript",
            {"transcript": "{% $transcript %}", "language": "{% $language %}"},
            "How to translate",
            Assign={"read": "{% $states.result.Payload %}"},
            Output={},
        )

    # --- translation

    def _how_to_translate(self) -> State:
        """Not at all, at once, or by a job: by language and size."""
        house = self.choices.house_language
        codes = {code: TRANSLATED[code] for code in self.choices.languages}
        same = [code for code, language in codes.items() if language == house]
        source = f"{{% $lookup({_object(codes)}, $language) %}}"
        return {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": "{% $read.turns = 0 %}",
                    "Assign": {"source": source},
                    "Next": "Report",
                },
                {
                    "Condition": f"{{% $language in {_list(same)} %}}",
                    "Assign": {"source": source},
                    "Next": "What to analyse",
                },
                {
                    "Condition": f"{{% $read.bytes <= {self.choices.translate_at_once_bytes} %}}",
                    "Assign": {"source": source, "translated": True},
                    "Next": "Translate at once",
                },
            ],
            "Assign": {"source": source, "translated": True},
            "Default": "Prepare translation",
        }

    def _translation(self) -> dict[str, State]:
        language = {"language": "{% $source %}"}
        return {
            "Translate at once": self._invoke(
                "translate", {"step": "at-once", **language}, "What to analyse", Output={}
            ),
            "Prepare translation": self._invoke(
                "translate", {"step": "prepare", **language}, "Start translation", Output="{% $states.result.Payload %}"
            ),
            "Start translation": self._task(
                f"{SDK}translate:startTextTranslationJob",
                {
                    "JobName": "{% $job %}",
                    # The same token gives the same job: an attempt whose answer was lost starts none twice.
                    "ClientToken": "{% $hash($job, 'SHA-1') %}",
                    "InputDataConfig": {"S3Uri": "{% $states.input.input %}", "ContentType": "text/plain"},
                    "OutputDataConfig": {
                        "S3Uri": "{% $states.input.output %}",
                        "EncryptionKey": {"Type": "KMS", "Id": self.parts.key},
                    },
                    "DataAccessRoleArn": self.parts.translate_role,
                    "SourceLanguageCode": "{% $source %}",
                    "TargetLanguageCodes": [self.choices.house_language],
                    "TerminologyNames": [self.choices.language_resources],
                },
                "Wait for translation",
                Assign={"translation": "{% $states.result.JobId %}"},
                Output={},
            ),
            "Wait for translation": self._wait("{% $translation %}", "Look at translation"),
            "Look at translation": self._task(
                f"{SDK}translate:describeTextTranslationJob",
                {"JobId": "{% $translation %}"},
                "How translation went",
                Output="{% $states.result.TextTranslationJobProperties %}",
            ),
            "How translation went": {
                "Type": "Choice",
                "Choices": [
                    {
                        "Condition": "{% $states.input.JobStatus in ['COMPLETED', 'COMPLETED_WITH_ERROR'] %}",
                        "Output": {"output": "{% $states.input.OutputDataConfig.S3Uri %}"},
                        "Next": "Collect translation",
                    },
                    {
                        "Condition": "{% $states.input.JobStatus in ['FAILED', 'STOPPED'] %}",
                        "Assign": {
                            "failure": {
                                "code": "TranslationFailed",
                                "cause": "{% $exists($states.input.Message) ?"
                                " $states.input.Message : 'Translate gives no reason.' %}",
                            }
                        },
                        "Output": {},
                        "Next": "Record failure",
                    },
                ],
                "Assign": {"failure": _overdue("translation")},
                "Output": {},
                "Default": "Record failure",
            },
            "Collect translation": self._invoke(
                "translate",
                {"step": "collect", **language, "output": "{% $states.input.output %}"},
                "What to analyse",
                Output={},
            ),
        }

    # --- findings

    def _what_to_analyse(self) -> State:
        """What was said, if Comprehend knows its language; else the translation; else nothing."""
        spoken = {code: analysed(TRANSLATED[code]) for code in self.choices.languages}
        known = {code: language for code, language in spoken.items() if language}
        house = analysed(self.choices.house_language)
        choices = [
            {
                "Condition": f"{{% $language in {_list(list(known))} %}}",
                "Output": {"language": f"{{% $lookup({_object(known)}, $language) %}}", "translated": False},
                "Next": "Analyse",
            }
        ]
        if house:
            choices.append(
                {
                    "Condition": "{% $translated %}",
                    "Output": {"language": house, "translated": True},
                    "Next": "Analyse",
                }
            )
        return {"Type": "Choice", "Choices": choices, "Default": "Report"}

    def _analyse(self) -> State:
        return self._invoke(
            "analyse",
            {"language": "{% $states.input.language %}", "translated": "{% $states.input.translated %}"},
            "Report",
            Output={"analysed": True},
        )

    def _report(self) -> State:
        never = self.choices.spoken_summary == "never"
        return self._invoke(
            "report",
            {
                "language": "{% $language %}",
                "translated": "{% $translated %}",
                "redacted": "{% $redacted %}",
                "analysed": "{% $exists($states.input.analysed) %}",
            },
            "Complete" if never else "Who wants to listen",
            Assign={"report": "{% $states.result.Payload %}"},
            Output={},
        )

    def _spoken(self) -> dict[str, State]:
        if self.choices.spoken_summary == "never":
            return {}
        wanted = "{% $spoken %}" if self.choices.spoken_summary == "on-request" else "{% true %}"
        return {
            "Who wants to listen": {
                "Type": "Choice",
                "Choices": [{"Condition": wanted, "Next": "Speak summary"}],
                "Default": "Complete",
            },
            "Speak summary": self._invoke(
                "speak", {}, "Complete", Assign={"summary": "{% $states.result.Payload.summary %}"}, Output={}
            ),
        }

    # --- the ends

    def _complete(self) -> State:
        return self._end_row(
            "COMPLETED",
            {
                "language": _text("$language"),
                "redacted": {"BOOL": "{% $redacted %}"},
                "translated": {"BOOL": "{% $translated %}"},
                "report": _text("$report.report"),
                "summary": _text("$summary"),
                "turns": {"N": "{% $string($report.turns) %}"},
                "speakers": {"N": "{% $string($report.speakers) %}"},
                "seconds": {"N": "{% $string($report.seconds) %}"},
                "tone": _text("$string($report.tone)"),
            },
            "Completed",
        )

    def _withheld(self) -> dict[str, State]:
        """The language was identified, and nothing else of the call is read."""
        return {
            "Withhold": self._end_row(
                "WITHHELD",
                {
                    "language": _text("$language"),
                    "reason": {
                        "M": {
                            "code": {"S": "RedactionNotSupported"},
                            "message": {"S": "Personal data cannot be redacted in the language of this call."},
                        }
                    },
                },
                "Withheld",
            ),
            "Withheld": {"Type": "Succeed"},
        }

    def _tell_of_failure(self) -> State:
        """By the call's number: what its file is called may be personal, and the topic's subscribers get e-mail."""
        return self._task(
            PUBLISH,
            {
                "TopicArn": self.parts.failure_topic,
                "Subject": "A call could not be analysed",
                "Message": {
                    "call": "{% $call %}",
                    "code": "{% $failure.code %}",
                    "execution": "{% $states.context.Execution.Id %}",
                },
            },
            "Failed",
            catch=[{"ErrorEquals": ["States.ALL"], "Output": {}, "Next": "Failed"}],
            Output={},
        )

    # --- what the states have in common

    def _invoke(
        self,
        function: str,
        payload: Mapping[str, Any],
        following: str,
        *,
        resource: str = INVOKE,
        with_call: bool = True,
        timeout: int | None = None,
        catch: Sequence[State] | None = None,
        **more: Any,
    ) -> State:
        arguments = {
            "FunctionName": getattr(self.parts, function),
            "Payload": {**({"call": "{% $call %}"} if with_call else {}), **payload},
        }
        return self._task(resource, arguments, following, timeout=timeout, catch=catch, **more)

    def _task(
        self,
        resource: str,
        arguments: Mapping[str, Any],
        following: str,
        *,
        timeout: int | None = None,
        catch: Sequence[State] | None = None,
        **more: Any,
    ) -> State:
        """`catch` None: any failure goes to the failure path.

        `timeout` in seconds is for states that wait for a job, who decide themselves what its end means. Any other is a
        call that hangs: it is made again.
        """
        return {
            "Type": "Task",
            "Resource": resource.format(partition=self.parts.partition),
            "Arguments": dict(arguments),
            **more,
            "TimeoutSeconds": timeout or TASK_SECONDS,
            "Retry": self._retry(after_timeout=timeout is None),
            "Catch": [self._failed()] if catch is None else [*catch],
            "Next": following,
        }

    def _retry(self, *, after_timeout: bool) -> list[State]:
        """What may pass is tried again, ever later and never all at the same moment."""
        return [
            {"ErrorEquals": LASTING, "MaxAttempts": 0},
            {
                "ErrorEquals": ["States.TaskFailed", *(["States.Timeout"] if after_timeout else [])],
                "IntervalSeconds": self.choices.retry_seconds,
                "BackoffRate": 2,
                "MaxAttempts": self.choices.retry_attempts,
                "MaxDelaySeconds": 60,
                "JitterStrategy": "FULL",
            },
        ]

    def _failed(self) -> State:
        """The functions' own texts are safe to keep; of any other error only its name is kept."""
        cause = (
            "$contains($string($states.errorOutput.Cause), '\"errorMessage\"') ?"
            " $parse($states.errorOutput.Cause).errorMessage : 'The state failed.'"
        )
        return {
            "ErrorEquals": ["States.ALL"],
            "Assign": {"failure": {"code": "{% $states.errorOutput.Error %}", "cause": f"{{% {cause} %}}"}},
            "Output": {},
            "Next": "Record failure",
        }

    def _end_row(
        self, status: str, values: Mapping[str, Any], following: str, *, last_resort: str | None = None
    ) -> State:
        names = ("status", "ended_at", *values)
        row = self._row(
            "SET " + ", ".join(f"#{name} = :{name}" for name in names),
            {
                ":status": {"S": status},
                ":ended_at": _text("$now()"),
                **{f":{name}": value for name, value in values.items()},
            },
            names={f"#{name}": name for name in names},
        )
        catch = [{"ErrorEquals": ["States.ALL"], "Output": {}, "Next": last_resort}] if last_resort else None
        return self._task(UPDATE_ITEM, row, following, catch=catch, Output={})

    def _row(
        self,
        update: str,
        values: Mapping[str, Any],
        *,
        names: Mapping[str, str],
        condition: str | None = None,
        call: str = "$call",
    ) -> State:
        return {
            "TableName": self.parts.calls_table,
            "Key": {"call": _text(call)},
            "UpdateExpression": update,
            "ExpressionAttributeNames": dict(names),
            "ExpressionAttributeValues": dict(values),
            **({"ConditionExpression": condition} if condition else {}),
        }


def _text(expression: str) -> State:
    return {"S": f"{{% {expression} %}}"}


def _overdue(what: str) -> State:
    return {"code": "JobOverdue", "cause": f"The {what} has not ended in the time that is given to it."}


def _list(values: Sequence[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _object(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"'{name}': '{value}'" for name, value in values.items()) + "}"
