"""The state machine of document-processing, in the order in which a document passes through it.

Plain Amazon States Language with JSONata, as it stands in the console, for that is what an operator reads when
something is wrong. What passes from state to state is small: numbers, and places in S3. Variables (`Assign`) carry the
document and what is known of it, so that no state has to hand on what it does not use.

Quotas (AWS Step Functions Developer Guide, "Step Functions service quotas", and API Reference, read 2026-11-25):
262,144 bytes of input or output a state, 25,000 events a run. A batch of paragraphs takes some 30 events, so a run has
room for
800 batches, 16 MB of text: more than 500 pages hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

State = dict[str, Any]

INVOKE = "arn:{partition}:states:::lambda:invoke"
CALLBACK = f"{INVOKE}.waitForTaskToken"
UPDATE_ITEM = "arn:{partition}:states:::dynamodb:updateItem"
PUBLISH = "arn:{partition}:states:::sns:publish"
SDK = "arn:{partition}:states:::aws-sdk:"

# Errors that another attempt would meet again: no retry. By the names that the functions raise (`failures.py`).
LASTING = [
    "AccessDenied",
    "AccessDeniedException",
    "BadDocumentException",
    "DocumentTooLargeException",
    "DynamoDB.ConditionalCheckFailedException",
    "InvalidParameterException",
    "InvalidS3ObjectException",
    "RejectedByReviewer",
    "ReviewExpired",
    "TextractJobFailed",
    "UnsupportedDocumentException",
]
# What Textract says of a document that it will never read.
REFUSALS = ["BadDocumentException", "DocumentTooLargeException", "UnsupportedDocumentException"]
# The reason of a document that a person rejected, on the review page or as an error of the function that stores.
REJECTION = {"code": "RejectedByReviewer", "message": "A reviewer rejected the document."}

# A call that has not come back by then will not: Lambda ends every function after 15 minutes at most (AWS Lambda
# Developer Guide, "Lambda quotas"). Without it a state would wait for 99,999,999 seconds.
TASK_SECONDS = 900

METRIC_NAMESPACE = "DocumentProcessing"
WAITING_METRIC = "ReviewsWaiting"


@dataclass(frozen=True)
class Parts:
    """What the states call: ARNs and names, as tokens of the template."""

    partition: str
    look: str
    start_analysis: str
    read_document: str
    render_pages: str
    ask_reviewer: str
    store: str
    results_table: str
    bucket: str
    failure_topic: str


@dataclass(frozen=True)
class Choices:
    """Settings that show in the definition. Times in seconds, confidence in percent."""

    minimum_confidence: float
    language: str
    map_concurrency: int
    analysis_timeout: int
    review_reminder: int
    retry_attempts: int
    retry_seconds: int
    timeout: int
    flow_definition: str | None = None


class Workflow:
    """Makes the definition. One method a state, in order."""

    def __init__(self, parts: Parts, choices: Choices) -> None:
        self.parts = parts
        self.choices = choices

    def definition(self) -> State:
        """The definition as a dictionary, for `Stack.to_json_string`."""
        review = self._augmented_ai() if self.choices.flow_definition else self._review()
        return {
            "Comment": "Reads a document, has a person check what is doubtful, and stores what was found",
            "QueryLanguage": "JSONata",
            "StartAt": "Register",
            "TimeoutSeconds": self.choices.timeout,
            "States": {
                "Register": self._register(),
                "Already done": {"Type": "Succeed"},
                "Look": self._look(),
                "How to read it": self._how_to_read(),
                "Read at once": self._read("Read at once"),
                "Start analysis": self._start_analysis(),
                "Collect result": self._read("Collect result", job="{% $states.input.job %}"),
                "Understand paragraphs": self._understand(),
                "Sure enough": self._sure_enough(),
                **review,
                "Store findings": self._store(),
                "Complete": self._complete(),
                "Completed": {"Type": "Succeed"},
                "Record rejection": self._record_rejection(),
                "Rejected": {"Type": "Succeed"},
                "Record failure": self._record_failure(),
                "Tell of failure": self._tell_of_failure(),
                "Failed": {"Type": "Fail", "Error": "{% $failure.code %}", "Cause": "{% $failure.cause %}"},
            },
        }

    # --- the way of a document

    def _register(self) -> State:
        """A document that is done stays done, whoever starts it again; one that failed may be tried again."""
        given = {name: f"{{% $states.input.{name} %}}" for name in ("bucket", "key", "version", "document")}
        failed = self._failed()
        return self._task(
            UPDATE_ITEM,
            self._row(
                "SET #status = :status, #document = :document, #execution = :execution, started_at = :now"
                " REMOVE reason, ended_at",
                {
                    ":status": {"S": "PROCESSING"},
                    ":document": {"S": "{% $states.input.document %}"},
                    ":execution": {"S": "{% $states.context.Execution.Id %}"},
                    ":now": {"S": "{% $now() %}"},
                    ":failed": {"S": "FAILED"},
                },
                names={"#status": "status", "#document": "document_id", "#execution": "execution"},
                condition="attribute_not_exists(#status) OR #status IN (:status, :failed)",
                source="$states.input",
            ),
            following="Look",
            catch=[
                {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Already done"},
                # The failure path names the document, too.
                {**failed, "Assign": {**failed["Assign"], **given}},
            ],
            Assign={**given, "review": ""},
            Output="{% $states.input %}",
        )

    def _look(self) -> State:
        return self._invoke("look", {}, "How to read it", Assign={"look": "{% $states.result.Payload %}"})

    def _how_to_read(self) -> State:
        """An image of one page is read within the call; a PDF, or a TIFF of many pages, by a job."""
        return {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": "{% $look.path = 'refused' %}",
                    "Output": {"code": "{% $look.code %}", "message": "{% $look.message %}"},
                    "Next": "Record rejection",
                },
                {"Condition": "{% $look.path = 'at-once' %}", "Next": "Read at once"},
            ],
            "Default": "Start analysis",
        }

    def _start_analysis(self) -> State:
        """The function starts the job and keeps the token; the message that the job has ended brings the answer."""
        return self._invoke(
            "start_analysis",
            {
                "execution": "{% $states.context.Execution.Id %}",
                "attempt": "{% $states.context.State.RetryCount %}",
                "token": "{% $states.context.Task.Token %}",
            },
            "Collect result",
            resource=CALLBACK,
            timeout=self.choices.analysis_timeout,
            # The job may have ended, and its message been lost: the second attempt asks the job itself.
            retry_on_timeout=True,
            catch=[self._refused()],
            Output="{% $states.result %}",
        )

    def _read(self, _name: str, job: str | None = None) -> State:
        return self._invoke(
            "read_document",
            {"job": job} if job else {},
            "Understand paragraphs",
            catch=[self._refused()],
            Assign={"reading": "{% $states.result.Payload %}"},
            Output={},
        )

    def _understand(self) -> State:
        """Comprehend by batches of paragraphs, so many at once, for its calls a second are limited.

        A batch may come back with answers to some paragraphs and errors to others (Amazon Comprehend API Reference,
        "BatchDetectEntities", `ErrorList`). Then it is asked again, and in the end fails as a whole: nothing is left
        out of a result that says COMPLETED.
        """
        place = "'documents/' & $document & '/{folder}/' & $formatInteger($states.input.batch, '0000') & '.json'"
        texts = "$states.input.texts"
        language = self.choices.language

        def comprehend(operation: str, arguments: State, kept: Mapping[str, str], following: str) -> State:
            members = ", ".join(f"'{name}': {value}" for name, value in kept.items())
            return self._task(
                f"{SDK}comprehend:{operation}",
                {**arguments, "LanguageCode": language},
                following,
                catch=[],
                Output=f"{{% $merge([$states.input, {{{members}}}]) %}}",
            )

        # In brackets, for JSONata makes no list of one code, and nothing of none.
        refused = "[$states.result.ErrorList.ErrorCode]"
        all_refused = "$append($states.input.entities_refused, $states.input.sentiments_refused)"

        return {
            "Type": "Map",
            "Items": "{% $reading.batches %}",
            "MaxConcurrency": self.choices.map_concurrency,
            "ItemSelector": {"batch": "{% $states.context.Map.Item.Value %}"},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Fetch paragraphs",
                "States": {
                    "Fetch paragraphs": self._task(
                        f"{SDK}s3:getObject",
                        {"Bucket": self.parts.bucket, "Key": f"{{% {place.format(folder='texts')} %}}"},
                        "Find entities",
                        catch=[],
                        Output={
                            "batch": "{% $states.input.batch %}",
                            "round": 0,
                            "texts": "{% $parse($states.result.Body).texts %}",
                        },
                    ),
                    "Find entities": comprehend(
                        "batchDetectEntities",
                        {"TextList": f"{{% {texts} %}}"},
                        {"entities": "$states.result.ResultList", "entities_refused": refused},
                        "Find personal data",
                    ),
                    # There is no batch of this one, but it takes 100 KB at once: the paragraphs in one text.
                    "Find personal data": comprehend(
                        "detectPiiEntities",
                        {"Text": f"{{% $join({texts}, '\\n') %}}"},
                        {"pii": "$states.result.Entities"},
                        "Find sentiment",
                    ),
                    "Find sentiment": comprehend(
                        "batchDetectSentiment",
                        {"TextList": f"{{% {texts} %}}"},
                        {"sentiments": "$states.result.ResultList", "sentiments_refused": refused},
                        "All answered",
                    ),
                    "All answered": {
                        "Type": "Choice",
                        "Choices": [
                            {"Condition": f"{{% $count({all_refused}) = 0 %}}", "Next": "Keep insights"},
                            {
                                "Condition": f"{{% $states.input.round < {self.choices.retry_attempts} %}}",
                                "Next": "Wait to ask again",
                            },
                        ],
                        "Default": "Not all answered",
                    },
                    "Wait to ask again": {
                        "Type": "Wait",
                        "Seconds": f"{{% $min([60, {self.choices.retry_seconds} * $power(2, $states.input.round)]) %}}",
                        "Output": "{% $merge([$states.input, {'round': $states.input.round + 1}]) %}",
                        "Next": "Find entities",
                    },
                    # In the shape of a function's cause, which the failure path reads.
                    "Not all answered": {
                        "Type": "Fail",
                        "Error": "ComprehendRefused",
                        "Cause": f"{{% $string({{'errorMessage': 'Comprehend answers for some paragraphs with ' &"
                        f" $join($distinct({all_refused}), ', ') & '.'}}) %}}",
                    },
                    "Keep insights": self._task(
                        f"{SDK}s3:putObject",
                        {
                            "Bucket": self.parts.bucket,
                            "Key": f"{{% {place.format(folder='insights')} %}}",
                            "ContentType": "application/json",
                            "Body": {
                                "entities": "{% $states.input.entities %}",
                                "pii": "{% $states.input.pii %}",
                                "sentiments": "{% $states.input.sentiments %}",
                            },
                        },
                        None,
                        catch=[],
                        Output={},
                    ),
                },
            },
            "Output": {},
            "Catch": [self._failed()],
            "Next": "Sure enough",
        }

    def _sure_enough(self) -> State:
        return {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": f"{{% $reading.lowest_confidence < {self.choices.minimum_confidence:g} %}}",
                    "Next": "Start human loop" if self.choices.flow_definition else "Render pages",
                }
            ],
            "Default": "Store findings",
        }

    # --- a person's answer

    def _review(self) -> dict[str, State]:
        return {
            "Render pages": self._invoke(
                "render_pages",
                {"kind": "{% $look.kind %}"},
                "Ask a reviewer",
                Assign={"images": "{% $states.result.Payload.images %}"},
                Output={},
            ),
            "Ask a reviewer": self._invoke(
                "ask_reviewer",
                {
                    "execution": "{% $states.context.Execution.Id %}",
                    "doubts": "{% $reading.doubts %}",
                    "images": "{% $images %}",
                    "token": "{% $states.context.Task.Token %}",
                },
                "What the reviewer says",
                resource=CALLBACK,
                timeout=self.choices.review_reminder,
                catch=[{"ErrorEquals": ["States.Timeout"], "Output": {}, "Next": "Count waiting review"}],
                Assign={"review": "{% $states.result.review %}", "decision": "{% $states.result.decision %}"},
                Output={},
            ),
            # Then the reviewer is asked once more. An answer that got lost on its way is taken up there, too.
            "Count waiting review": self._task(
                f"{SDK}cloudwatch:putMetricData",
                {
                    "Namespace": METRIC_NAMESPACE,
                    "MetricData": [
                        {
                            "MetricName": WAITING_METRIC,
                            "Dimensions": [
                                {"Name": "StateMachine", "Value": "{% $states.context.StateMachine.Name %}"}
                            ],
                            "Value": 1,
                            "Unit": "Count",
                        }
                    ],
                },
                "Ask a reviewer",
                Output={},
            ),
            "What the reviewer says": {
                "Type": "Choice",
                "Choices": [
                    {
                        "Condition": "{% $decision = 'reject' %}",
                        "Output": REJECTION,
                        "Next": "Record rejection",
                    }
                ],
                "Default": "Store findings",
            },
        }

    def _augmented_ai(self) -> dict[str, State]:
        """The variant with Amazon Augmented AI, closed to new accounts: a human loop, asked every minute for its end.

        Its worker template must name its inputs `field-0`, `field-1`, ... and `decision`, as the review page does. The
        loop's name is that of the run, of which a redrive is another: the loop of one that failed may still be there,
        and its answer, if it came, was for other doubts. An attempt that is tried again finds the same loop. A name has
        63 small letters and digits at most, an execution's may have 80 of any kind (Amazon Augmented AI Runtime API
        Reference, "StartHumanLoop", and AWS Step Functions API Reference, "StartExecution", read 2026-11-27).
        """
        run = "$states.context.Execution.Id & '/' & $states.context.Execution.RedriveCount"
        name = f"{{% 'review-' & $substring($hash({run}, 'SHA-256'), 0, 40) %}}"
        return {
            "Start human loop": self._task(
                f"{SDK}sagemakera2iruntime:startHumanLoop",
                {
                    "HumanLoopName": name,
                    "FlowDefinitionArn": self.choices.flow_definition,
                    "HumanLoopInput": {
                        "InputContent": "{% $string({'document': $document, 'bucket': $bucket, 'key': $key,"
                        " 'doubts': 'documents/' & $document & '/doubts.json'}) %}"
                    },
                },
                "Wait for human loop",
                # A redrive goes on with the loop that was started, whatever the count says by then.
                Assign={"loop": name},
                Output={},
            ),
            "Wait for human loop": {"Type": "Wait", "Seconds": 60, "Next": "Look at human loop"},
            "Look at human loop": self._task(
                f"{SDK}sagemakera2iruntime:describeHumanLoop",
                {"HumanLoopName": "{% $loop %}"},
                "Human loop ended",
                Assign={
                    "review": "{% $exists($states.result.HumanLoopOutput) ?"
                    " $states.result.HumanLoopOutput.OutputS3Uri : '' %}"
                },
                Output={"status": "{% $states.result.HumanLoopStatus %}"},
            ),
            "Human loop ended": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $states.input.status = 'InProgress' %}", "Next": "Wait for human loop"},
                    {
                        "Condition": "{% $states.input.status != 'Completed' %}",
                        "Output": {"code": "HumanLoopEnded", "message": "The human loop ended without an answer."},
                        "Next": "Record rejection",
                    },
                ],
                "Default": "Store findings",
            },
        }

    # --- how it ends

    def _store(self) -> State:
        """What a worker of Augmented AI decided stands in the answer, which only this function reads."""
        rejected = {"ErrorEquals": [REJECTION["code"]], "Output": REJECTION, "Next": "Record rejection"}
        return self._invoke(
            "store",
            {"batches": "{% $reading.batches %}", "review": "{% $review %}"},
            "Complete",
            catch=[rejected] if self.choices.flow_definition else [],
            Output="{% $states.result.Payload %}",
        )

    def _complete(self) -> State:
        counts = ("fields", "tables", "entities", "personal_data", "corrections")
        return self._end_row(
            "COMPLETED",
            {
                **{name: {"N": f"{{% $string($states.input.{name}) %}}"} for name in counts},
                "sentiment": {"S": "{% $states.input.sentiment %}"},
                "result": {"S": "{% $states.input.result %}"},
                "pages": {"N": "{% $string($reading.pages) %}"},
                "lowest_confidence": {"N": "{% $string($reading.lowest_confidence) %}"},
                "reviewed": {"BOOL": "{% $review != '' %}"},
            },
            "Completed",
        )

    def _record_rejection(self) -> State:
        reason = {
            "M": {
                "code": {"S": "{% $states.input.code %}"},
                "message": {"S": "{% $states.input.message %}"},
            }
        }
        return self._end_row("REJECTED", {"reason": reason}, "Rejected")

    def _record_failure(self) -> State:
        """The cause keeps what the function said, which is nothing of the document."""
        reason = {"M": {"code": {"S": "{% $failure.code %}"}, "message": {"S": "{% $failure.cause %}"}}}
        state = self._end_row("FAILED", {"reason": reason}, "Tell of failure")
        # Even if the row cannot be written, somebody is told, and the execution ends as what it is.
        return {**state, "Catch": [{"ErrorEquals": ["States.ALL"], "Output": {}, "Next": "Tell of failure"}]}

    def _tell_of_failure(self) -> State:
        message = (
            "$string({'document': $document, 'execution': $states.context.Execution.Id,"
            " 'status': 'FAILED', 'code': $failure.code})"
        )
        return self._task(
            PUBLISH,
            {
                "TopicArn": self.parts.failure_topic,
                "Subject": "A document could not be processed",
                "Message": f"{{% {message} %}}",
            },
            "Failed",
            catch=[{"ErrorEquals": ["States.ALL"], "Output": {}, "Next": "Failed"}],
            Output={},
        )

    # --- how states are made

    def _invoke(
        self,
        function: str,
        payload: Mapping[str, Any],
        following: str,
        *,
        resource: str = INVOKE,
        timeout: int | None = None,
        catch: Sequence[State] = (),
        retry_on_timeout: bool = False,
        **more: Any,
    ) -> State:
        about = {name: f"{{% ${name} %}}" for name in ("bucket", "key", "version", "document")}
        arguments = {"FunctionName": getattr(self.parts, function), "Payload": {**about, **payload}}
        state = self._task(resource, arguments, following, timeout=timeout, catch=[*catch, self._failed()], **more)
        if retry_on_timeout:
            state["Retry"].append({"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1, "IntervalSeconds": 1})
        return state

    def _task(
        self,
        resource: str,
        arguments: Mapping[str, Any],
        following: str | None,
        *,
        timeout: int | None = None,
        catch: Sequence[State] | None = None,
        **more: Any,
    ) -> State:
        """`catch` None: any failure goes to the failure path. Inside the Map, the Map itself catches.

        `timeout` in seconds is for states that wait for somebody, who decide themselves what its end means. Any other
        is a call that hangs: it is made again.
        """
        caught = [self._failed()] if catch is None else [*catch]
        return {
            "Type": "Task",
            "Resource": resource.format(partition=self.parts.partition),
            "Arguments": dict(arguments),
            **more,
            "TimeoutSeconds": timeout or TASK_SECONDS,
            "Retry": self._retry(after_timeout=timeout is None),
            **({"Catch": caught} if caught else {}),
            **({"Next": following} if following else {"End": True}),
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

    @staticmethod
    def _refused() -> State:
        return {
            "ErrorEquals": REFUSALS,
            "Output": {"code": "{% $states.errorOutput.Error %}", "message": "Textract refused the document."},
            "Next": "Record rejection",
        }

    def _end_row(self, status: str, values: Mapping[str, Any], following: str) -> State:
        names = {f"#{name}": name for name in ("status", "ended_at", *values)}
        sets = ", ".join(f"#{name} = :{name}" for name in ("status", "ended_at", *values))
        given = {f":{name}": value for name, value in values.items()}
        row = self._row(
            f"SET {sets}",
            {":status": {"S": status}, ":ended_at": {"S": "{% $now() %}"}, **given},
            names=names,
        )
        return self._task(UPDATE_ITEM, row, following, catch=None if status != "FAILED" else [], Output={})

    def _row(
        self,
        update: str,
        values: Mapping[str, Any],
        *,
        names: Mapping[str, str],
        condition: str | None = None,
        source: str = "",
    ) -> State:
        prefix = f"{source}." if source else "$"
        return {
            "TableName": self.parts.results_table,
            "Key": {
                "document": {"S": f"{{% {prefix}bucket & '/' & {prefix}key %}}"},
                "version": {"S": f"{{% {prefix}version %}}"},
            },
            "UpdateExpression": update,
            "ExpressionAttributeNames": dict(names),
            "ExpressionAttributeValues": dict(values),
            **({"ConditionExpression": condition} if condition else {}),
        }
