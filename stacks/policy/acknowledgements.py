"""Best-practice findings that are right as they are: one reason a rule and situation, applied where it names.

An entry holds at the constructs that it names and nowhere else. One that finds nothing to acknowledge (the construct
is gone, or the finding is) stops the synthesis, so that the table cannot rot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stacks.catalogue import ARCHITECTURES

# (rule, construct path)
Finding = tuple[str, str]


@dataclass(frozen=True)
class Acknowledgement:
    """`rule` is cdk-nag's id with its finding; `{name}` in it stands for that setting of the architecture.

    `optional` constructs are there only with the settings `when`.
    """

    architecture: str
    rule: str
    reason: str
    constructs: tuple[str, ...]
    optional: tuple[str, ...] = ()
    when: Mapping[str, object] = field(default_factory=dict)

    def places(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        """The constructs that it names in an architecture with these settings."""
        return self.constructs + (self.optional if self.when.items() <= settings.items() else ())


# Reasons for several architectures, or for several rules.
_CLOUDTRAIL_TELLS = "CloudTrail data events tell who read or wrote which object; an account switches them on once."
_ERRORS_ONLY = (
    "Errors are logged, without execution data: every other event is in the execution's history for 90"
    " days, and a log of all would cost more than the workflow."
)
_NO_NETWORK = (
    "It talks to AWS services alone, over TLS. A network without internet is an architecture of its own"
    " (`private-network`); inside one, each service would want an endpoint."
)
_NO_ACCESS_LOG = (
    "The bucket takes objects from the account's own users only; who read or wrote which is told by"
    " CloudTrail data events, which an account switches on once. Server access logs would want a second"
    " bucket a stack."
)
_EMPTIED = "When the stack is deleted its bucket is emptied: all versions of all objects, in this bucket alone."
_PYTHON = (
    'python3.13 is supported until 2029-06-30 (AWS Lambda Developer Guide, "Lambda runtimes"), and is the'
    " newest Python on which the handlers also run locally. The check for deprecated runtimes watches the"
    " date."
)
_AUDIT_NO_RESOURCE = (
    "config:PutEvaluations, sagemaker:ListTrainingJobs, sagemaker:ListProcessingJobs, xray:PutTraceSegments and"
    " xray:PutTelemetryRecords support no resource. The check for wildcards lets `*` pass for these alone."
)
_EVERY_JOB = "The rule judges every job of the account and may only describe it."
_REPORT = "The report of each call lies under its id here."

# All that a private network asks for.
_INTERFACES = "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:*/*]"
_INTERFACES_WHY = (
    "The network interfaces of a function or job get their ids when they are made, and AWS wants all of the region here"
    ' (AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC").'
)


def _network(rule: str, reason: str, constructs: tuple[str, ...]) -> Acknowledgement:
    return Acknowledgement("private-network", rule, reason, constructs)


_NETWORK: tuple[Acknowledgement, ...] = (
    _network("AwsSolutions-S1", _CLOUDTRAIL_TELLS, ("Letters/Resource",)),
    _network(
        "AwsSolutions-IAM5[Resource::*]",
        "logs:DescribeLogGroups, ec2:Describe* and the operations of Comprehend, Translate and X-Ray know no resource."
        " The check for wildcards lets `*` pass for these actions alone.",
        (
            "FlowLogRole/DefaultPolicy/Resource",
            "EmptiedLetters/Worker/Role/DefaultPolicy/Resource",
            "Inside/Role/DefaultPolicy/Resource",
            "Outside/Role/DefaultPolicy/Resource",
        ),
    ),
    _network(
        "AwsSolutions-IAM5[Resource::<LettersDC1467AC.Arn>/*]",
        _EMPTIED,
        ("EmptiedLetters/Worker/Role/DefaultPolicy/Resource",),
    ),
    _network(_INTERFACES, _INTERFACES_WHY, ("Inside/Role/DefaultPolicy/Resource",)),
    _network(
        "AwsSolutions-L1",
        _PYTHON,
        ("EmptiedLetters/Worker/Function/Resource", "Inside/Function/Resource", "Outside/Function/Resource"),
    ),
)

ACKNOWLEDGEMENTS: tuple[Acknowledgement, ...] = (
    *_NETWORK,
    Acknowledgement(
        architecture="image-labeling",
        rule="AwsSolutions-S1",
        reason=(_NO_ACCESS_LOG),
        constructs=("Images/Resource",),
    ),
    Acknowledgement(
        architecture="image-labeling",
        rule="AwsSolutions-IAM5[Resource::*]",
        reason=(
            "rekognition:DetectLabels, xray:PutTraceSegments and xray:PutTelemetryRecords support no resource. The"
            " check for wildcards lets `*` pass for these actions alone."
        ),
        constructs=("LabelImage/Role/DefaultPolicy/Resource", "EmptiedImages/Worker/Role/DefaultPolicy/Resource"),
    ),
    Acknowledgement(
        architecture="image-labeling",
        rule="AwsSolutions-IAM5[Resource::<Images2D38C313.Arn>/{upload_prefix}*]",
        reason="The function reads every uploaded image: all keys under the upload prefix, none outside.",
        constructs=("LabelImage/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="image-labeling",
        rule="AwsSolutions-IAM5[Resource::<Images2D38C313.Arn>/*]",
        reason=_EMPTIED,
        constructs=("EmptiedImages/Worker/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="image-labeling",
        rule="AwsSolutions-L1",
        reason=(_PYTHON),
        constructs=("LabelImage/Function/Resource", "EmptiedImages/Worker/Function/Resource"),
    ),
    Acknowledgement(
        architecture="image-labeling",
        rule=_INTERFACES,
        reason=_INTERFACES_WHY,
        constructs=(),
        optional=("LabelImage/Role/DefaultPolicy/Resource",),
        when={"network": "private"},
    ),
    Acknowledgement(
        architecture="text-insights",
        rule="AwsSolutions-IAM5[Resource::*]",
        reason=(
            "Comprehend's operations with its built-in models, xray:PutTraceSegments and xray:PutTelemetryRecords"
            " support no resource. The check for wildcards lets `*` pass for these actions alone."
        ),
        constructs=("AnalyzeTexts/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="text-insights",
        rule="AwsSolutions-L1",
        reason=(
            "As in image-labeling: the newest Python on which the handlers run locally too, supported until 2029-06-30."
        ),
        constructs=("AnalyzeTexts/Function/Resource",),
    ),
    Acknowledgement(
        architecture="speech-synthesis",
        rule="AwsSolutions-S1",
        reason=(
            "Texts and sound come and go by the account's own roles only, of which CloudTrail's data events tell, once"
            " an account has switched them on. Server access logs would want a second bucket a stack."
        ),
        constructs=("Speech/Resource",),
    ),
    Acknowledgement(
        architecture="speech-synthesis",
        rule="AwsSolutions-IAM5[Resource::*]",
        reason=(
            "Polly's only resources are lexicons, which are not used; xray:PutTraceSegments and"
            " xray:PutTelemetryRecords support none. The check for wildcards lets `*` pass for these actions alone."
        ),
        constructs=(
            "Speak/Role/DefaultPolicy/Resource",
            "RecordEnd/Role/DefaultPolicy/Resource",
            "EmptiedSpeech/Worker/Role/DefaultPolicy/Resource",
        ),
    ),
    Acknowledgement(
        architecture="speech-synthesis",
        rule="AwsSolutions-IAM5[Resource::<Speech436D608F.Arn>/{input_prefix}*]",
        reason="The function reads every uploaded text: all keys under the input prefix, none outside.",
        constructs=("Speak/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="speech-synthesis",
        rule="AwsSolutions-IAM5[Resource::<Speech436D608F.Arn>/{output_prefix}*]",
        reason="The function, and Polly as its caller, write the sound of every text: under the output prefix alone.",
        constructs=("Speak/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="speech-synthesis",
        rule="AwsSolutions-IAM5[Resource::<Speech436D608F.Arn>/*]",
        reason="When the stack is deleted, all versions of its texts and sounds are: in this bucket alone.",
        constructs=("EmptiedSpeech/Worker/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="speech-synthesis",
        rule="AwsSolutions-L1",
        reason=(
            "The functions that speak and record run on python3.13, the newest Python on which handlers run locally;"
            " AWS supports it until 2029-06-30, and the check for deprecated runtimes watches that."
        ),
        constructs=(
            "Speak/Function/Resource",
            "RecordEnd/Function/Resource",
            "EmptiedSpeech/Worker/Function/Resource",
        ),
    ),
)


# --- document-processing

_REVIEW_PAGE = {"human_review": "review-page"}
_AUGMENTED_AI = {"human_review": "augmented-ai"}
_FUNCTIONS = (
    "EmptiedDocuments/Worker",
    "Intake",
    "Look",
    "StartAnalysis",
    "Resume",
    "RecordEnd",
    "ReadDocument",
    "Store",
)
_REVIEW_FUNCTIONS = ("ReviewPage", "RenderPages", "AskReviewer")
_METHODS = tuple(
    f"ReviewApi/Default/review/{{link}}/{method}/Resource" for method in ("GET", "POST", "pages/{page}/GET")
)
_STAGE = ("ReviewApi/DeploymentStage.live/Resource",)


def _documents(
    rule: str,
    reason: str,
    constructs: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    when: Mapping[str, object] = _REVIEW_PAGE,
) -> Acknowledgement:
    return Acknowledgement("document-processing", rule, reason, constructs, optional, when)


def _of_functions(
    rule: str, reason: str, ending: str, others: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> Acknowledgement:
    """For every function of document-processing, those of the review page in their variant only."""
    always = tuple(f"{function}/{ending}" for function in _FUNCTIONS)
    reviewing = tuple(f"{function}/{ending}" for function in _REVIEW_FUNCTIONS)
    return _documents(rule, reason, always + others, reviewing + optional)


def _placed_documents(rule: str, reason: str, ending: str, network: str) -> tuple[Acknowledgement, ...]:
    """For the functions that the setting `network` places, where it is this."""
    placed = tuple(f"{function}/{ending}" for function in _FUNCTIONS if not function.startswith("Emptied"))
    reviewing = tuple(f"{function}/{ending}" for function in _REVIEW_FUNCTIONS)
    return (
        _documents(rule, reason, optional=placed, when={"network": network}),
        _documents(rule, reason, optional=reviewing, when={"network": network, **_REVIEW_PAGE}),
    )


_DOCUMENTS = "<Documents7E5B2978.Arn>"
ACKNOWLEDGEMENTS += (
    _of_functions(
        "AwsSolutions-L1",
        "As elsewhere: the newest Python on which these functions run locally too, supported until 2029-06-30.",
        "Function/Resource",
    ),
    _of_functions(
        "AwsSolutions-IAM5[Resource::*]",
        "The actions of Textract and X-Ray that the functions call support no resource. The check for wildcards lets"
        " `*` pass for these actions alone.",
        "Role/DefaultPolicy/Resource",
    ),
    _documents(
        "AwsSolutions-IAM5[Resource::*]",
        "Comprehend's batch operations, tracing, log delivery and PutMetricData (held to one namespace by a condition)"
        " support no resource. The check for wildcards lets `*` pass for these actions alone.",
        ("WorkflowRole/DefaultPolicy/Resource",),
    ),
    _documents(
        f"AwsSolutions-IAM5[Resource::{_DOCUMENTS}/{{upload_prefix}}*]",
        "Every uploaded document is read, and may have to be shown to a reviewer: all keys under the upload prefix,"
        " none outside.",
        tuple(f"{name}/Role/DefaultPolicy/Resource" for name in ("Look", "StartAnalysis", "ReadDocument")),
        optional=("RenderPages/Role/DefaultPolicy/Resource",),
    ),
    _documents(
        f"AwsSolutions-IAM5[Resource::{_DOCUMENTS}/documents/*]",
        ("What was found in each document lies under its id in this prefix, which holds nothing else."),
        tuple(f"{name}/Role/DefaultPolicy/Resource" for name in ("ReadDocument", "Store")),
        optional=tuple(f"{name}/Role/DefaultPolicy/Resource" for name in ("ReviewPage", "RenderPages")),
    ),
    _documents(
        f"AwsSolutions-IAM5[Resource::{_DOCUMENTS}/documents/*/texts/*]",
        "The state machine itself reads the batches of each document: this folder of it, none of the others.",
        ("WorkflowRole/DefaultPolicy/Resource",),
    ),
    _documents(
        f"AwsSolutions-IAM5[Resource::{_DOCUMENTS}/documents/*/insights/*]",
        "The state machine itself writes what Comprehend found: into this folder of a document, no other.",
        ("WorkflowRole/DefaultPolicy/Resource",),
    ),
    _documents(
        f"AwsSolutions-IAM5[Resource::{_DOCUMENTS}/*]",
        "As in image-labeling: the bucket is emptied when its stack is deleted, all versions, and no other bucket.",
        ("EmptiedDocuments/Worker/Role/DefaultPolicy/Resource",),
    ),
    _documents(
        "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:"
        "<Workflow.Name>:*]",
        "Whether a reviewer's answer came too late is asked of its execution, and so is the document of one that ended"
        " badly: any of this one state machine.",
        ("RecordEndUsesWorkflow/Resource",),
        optional=("ReviewPageUsesWorkflow/Resource",),
    ),
    _documents(
        "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:human-loop/"
        "review-*]",
        "A human loop has the name of its run: all that this state machine starts begin alike.",
        optional=("WorkflowRole/DefaultPolicy/Resource",),
        when=_AUGMENTED_AI,
    ),
    _documents(
        "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:s3:::{human_loop_output}*]",
        "Augmented AI puts its answers under a prefix of the flow definition's own choice.",
        optional=("Store/Role/DefaultPolicy/Resource",),
        when=_AUGMENTED_AI,
    ),
    _documents(
        "AwsSolutions-S1",
        "As in image-labeling: CloudTrail data events tell who read or wrote which object.",
        ("Documents/Resource",),
    ),
    _documents(
        "HIPAA.Security-S3BucketLoggingEnabled",
        _CLOUDTRAIL_TELLS,
        ("Documents/Resource",),
    ),
    _documents(
        "HIPAA.Security-S3BucketReplicationEnabled",
        "The bucket holds copies of documents whose originals are elsewhere, in versions; a second region is a decision"
        " of its own (`multi-region`), and would spread health data further than needed.",
        ("Documents/Resource",),
    ),
    _documents(
        "HIPAA.Security-DynamoDBInBackupPlan",
        "Point-in-time recovery is on for each table. Two of them hold what is of use for days; the results can be made"
        " anew from the bucket.",
        ("Results/Resource", "Jobs/Resource", "Reviews/Resource"),
    ),
    _documents(
        "AwsSolutions-SF1",
        _ERRORS_ONLY,
        ("Workflow",),
    ),
    _documents(
        "AwsSolutions-SMG4",
        "The key signs links that are good for days. A new version of the secret signs from then on, and links of the"
        " version before stay good; the page of the architecture says how to rotate by hand.",
        optional=("LinkKey",),
    ),
    _documents(
        "HIPAA.Security-SecretsManagerRotationEnabled",
        "As AwsSolutions-SMG4: it protects no account, and is rotated by putting a new version.",
        optional=("LinkKey",),
    ),
    _documents(
        "AwsSolutions-APIG1",
        "Access logs want a role in the settings of the whole region, which no single stack should set. The function"
        " logs each request by the review's id, and never the link.",
        optional=_STAGE,
    ),
    _documents(
        "AwsSolutions-APIG6",
        "Execution logs would hold the links, want a role in the region's settings, and go to a log group that"
        " outlives the stack. The function logs each request.",
        optional=_STAGE,
    ),
    _documents(
        "HIPAA.Security-APIGWExecutionLoggingEnabled",
        "As for AwsSolutions-APIG6: execution logs would hold the links, and outlive the stack.",
        optional=_STAGE,
    ),
    _documents(
        "AwsSolutions-APIG3",
        "A web ACL costs more a month than the whole stack while idle. The stage is throttled, and whoever has no"
        " signed link reaches nothing; an account with a firewall associates it with the stage.",
        optional=_STAGE,
    ),
    _documents(
        "HIPAA.Security-APIGWCacheEnabledAndEncrypted",
        "Nothing may be cached: each page is for one reviewer, and says so (`Cache-Control: no-store`).",
        optional=_STAGE,
    ),
    _documents(
        "HIPAA.Security-APIGWSSLEnabled",
        "The backend is a Lambda function, called through IAM: there is no server to show a certificate to.",
        optional=_STAGE,
    ),
    _documents(
        "AwsSolutions-APIG4",
        "The signed link in the path authorises: bound to one review, it expires, and is used up by an answer. A"
        " reviewer needs no account.",
        optional=_METHODS,
    ),
    _documents(
        "AwsSolutions-COG4",
        "As for AwsSolutions-APIG4: reviewers have a signed link and no user pool.",
        optional=_METHODS,
    ),
    _of_functions(
        "HIPAA.Security-IAMNoInlinePolicy",
        "A policy for one role alone is written into that role, goes with it, and can be attached to nothing else."
        " Managed policies are for what several roles share.",
        "Role/DefaultPolicy/Resource",
        (
            "TextractNotifier/DefaultPolicy/Resource",
            "WorkflowRole/DefaultPolicy/Resource",
            *(f"{name}UsesWorkflow/Resource" for name in ("Intake", "StartAnalysis", "Resume", "RecordEnd")),
        ),
        tuple(f"{name}UsesWorkflow/Resource" for name in ("AskReviewer", "ReviewPage")),
    ),
    _of_functions(
        "HIPAA.Security-LambdaConcurrency",
        "Pollers, the Map and the stage bound how many run at once. A reserved share would be taken from the account's"
        " other functions, and is refused where an account has few.",
        "Function/Resource",
    ),
    _of_functions(
        "HIPAA.Security-LambdaDLQ",
        "Nothing invokes it asynchronously: the state machine and the API get its errors themselves, and the queues"
        " that feed functions have dead-letter queues of their own.",
        "Function/Resource",
    ),
    # Whoever empties the bucket answers CloudFormation, for which the network has no way.
    _documents("HIPAA.Security-LambdaInsideVPC", _NO_NETWORK, ("EmptiedDocuments/Worker/Function/Resource",)),
    *_placed_documents("HIPAA.Security-LambdaInsideVPC", _NO_NETWORK, "Function/Resource", "public"),
    *_placed_documents(_INTERFACES, _INTERFACES_WHY, "Role/DefaultPolicy/Resource", "private"),
)


# --- call-analytics

_CALL_FUNCTIONS = (
    "EmptiedRecordings/Worker",
    "LanguageResources",
    "Intake",
    "JobEnded",
    "Admit",
    "AwaitJob",
    "ReadTranscript",
    "Translate",
    "Analyse",
    "Report",
)
_RECORDINGS = "<RecordingsA3BDCC51.Arn>"
_HERE = "<AWS::Region>:<AWS::AccountId>"
_SPOKEN: tuple[Mapping[str, object], ...] = ({"spoken_summary": "on-request"}, {"spoken_summary": "always"})
_REDACTING: tuple[Mapping[str, object], ...] = (
    {"personal_data": "redact-or-withhold"},
    {"personal_data": "redact-where-possible"},
)
_READING_ALL: tuple[Mapping[str, object], ...] = ({"personal_data": "redact-where-possible"}, {"personal_data": "keep"})


def _calls(
    rule: str, reason: str, constructs: tuple[str, ...], whens: Sequence[Mapping[str, object]] = ({},)
) -> tuple[Acknowledgement, ...]:
    """One entry for each of the variants in which the constructs are there."""
    return tuple(
        Acknowledgement("call-analytics", rule, reason, () if when else constructs, constructs if when else (), when)
        for when in whens
    )


def _of_call_functions(rule: str, reason: str, ending: str) -> tuple[Acknowledgement, ...]:
    always = tuple(f"{function}/{ending}" for function in _CALL_FUNCTIONS)
    return _calls(rule, reason, always) + _calls(rule, reason, (f"Speak/{ending}",), _SPOKEN)


def _of_call_prefix(
    prefix: str, reason: str, roles: tuple[str, ...], whens: Sequence[Mapping[str, object]] = ({},)
) -> tuple[Acknowledgement, ...]:
    rule = f"AwsSolutions-IAM5[Resource::{_RECORDINGS}/{prefix}*]"
    return _calls(rule, reason, tuple(f"{role}/DefaultPolicy/Resource" for role in roles), whens)


_INLINE = (
    "Each of these policies belongs to one role and goes with it; nothing else could be given it by mistake. What"
    " several roles would share is not among them."
)

ACKNOWLEDGEMENTS += (
    *_of_call_functions(
        "AwsSolutions-L1",
        _PYTHON,
        "Function/Resource",
    ),
    *_of_call_functions(
        "AwsSolutions-IAM5[Resource::*]",
        "The actions of Comprehend, Polly, Transcribe and X-Ray that the functions call support no resource. The check"
        " for wildcards lets `*` pass for these actions alone.",
        "Role/DefaultPolicy/Resource",
    ),
    *_of_call_functions(
        "HIPAA.Security-IAMNoInlinePolicy",
        _INLINE,
        "Role/DefaultPolicy/Resource",
    ),
    *_of_call_functions(
        "HIPAA.Security-LambdaConcurrency",
        "The pollers bound how many calls begin at once. A reserved share would be taken from the account's other"
        " functions, and is refused where an account has few.",
        "Function/Resource",
    ),
    *_of_call_functions(
        "HIPAA.Security-LambdaDLQ",
        "Nothing invokes it asynchronously: the state machine and CloudFormation get its errors themselves, and the"
        " queues that feed functions have dead-letter queues of their own.",
        "Function/Resource",
    ),
    *_of_call_functions(
        "HIPAA.Security-LambdaInsideVPC",
        _NO_NETWORK,
        "Function/Resource",
    ),
    *_calls(
        "HIPAA.Security-IAMNoInlinePolicy",
        _INLINE,
        (
            "TranslateRole/DefaultPolicy/Resource",
            "WorkflowRole/DefaultPolicy/Resource",
            *(f"{function}UsesWorkflow/Resource" for function in ("Intake", "AwaitJob", "JobEnded")),
        ),
    ),
    *_calls(
        "AwsSolutions-IAM5[Resource::*]",
        "Starting a transcription, asking for a translation job, tracing and log delivery support no resource. The"
        " check for wildcards lets `*` pass for these actions alone.",
        ("WorkflowRole/DefaultPolicy/Resource",),
    ),
    *_of_call_prefix("{upload_prefix}", "Every uploaded recording is read, none of another prefix.", ("Admit/Role",)),
    *_of_call_prefix(
        "media/",
        "The version that a call is about lies under the call's id here; Transcribe reads it as the state machine.",
        ("Admit/Role", "WorkflowRole"),
    ),
    *_of_call_prefix(
        "identified/",
        "Transcribe writes the transcript of each identification here, as the state machine.",
        ("WorkflowRole",),
    ),
    *_of_call_prefix(
        "transcripts/",
        "Transcribe writes the transcript of each call here, as the state machine, which may not read them.",
        ("WorkflowRole",),
        _REDACTING,
    ),
    *_of_call_prefix(
        "open/",
        "Transcribe writes what cannot or need not be redacted here, as the state machine, which may not read it.",
        ("WorkflowRole",),
        _READING_ALL,
    ),
    *_of_call_prefix(
        "transcripts/redacted-",
        "The redacted transcripts of all calls, and none of the others, whose names begin otherwise.",
        ("ReadTranscript/Role",),
        _REDACTING,
    ),
    *(
        entry
        for prefix in ("open/", "identified/")
        for entry in _of_call_prefix(
            prefix,
            "The settings have calls analysed with the personal data in them.",
            ("ReadTranscript/Role",),
            _READING_ALL,
        )
    ),
    *_of_call_prefix(
        "work/",
        "What one function leaves for the next lies under the call's id in this prefix, which holds nothing else.",
        ("ReadTranscript/Role", "Translate/Role", "Analyse/Role", "Report/Role"),
    ),
    *(
        entry
        for prefix in ("translate-in/", "translate-out/")
        for entry in _of_call_prefix(
            prefix,
            "The files of all translation jobs, a folder a call: one writes what the other reads.",
            ("TranslateRole", "Translate/Role"),
        )
    ),
    *_of_call_prefix("reports/", _REPORT, ("Report/Role",)),
    *_of_call_prefix("reports/", _REPORT, ("Speak/Role",), _SPOKEN),
    *_of_call_prefix("summaries/", "The summary of each call lies under its id here.", ("Speak/Role",), _SPOKEN),
    *_of_call_prefix(
        "vocabularies/",
        "The tables of this stack's vocabularies, whose names hold a digest of what is in them.",
        ("LanguageResources/Role",),
    ),
    *_of_call_prefix(
        "",
        _EMPTIED,
        ("EmptiedRecordings/Worker/Role",),
    ),
    *_calls(
        f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:transcribe:{_HERE}:transcription-job/call-<AWS::StackName>-*]",
        "A job has the name of its call: all that this stack starts begin with the stack's name.",
        ("WorkflowRole/DefaultPolicy/Resource",),
    ),
    *(
        entry
        for service, kind in (
            ("transcribe", "vocabulary"),
            ("transcribe", "vocabulary-filter"),
            ("translate", "terminology"),
        )
        for entry in _calls(
            f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:{service}:{_HERE}:{kind}/<AWS::StackName>-*]",
            "Other settings make other ones beside the old, and then have the old ones deleted: all of this stack.",
            ("LanguageResources/Role/DefaultPolicy/Resource",),
        )
    ),
    *_calls(
        "AwsSolutions-S1",
        _NO_ACCESS_LOG,
        ("Recordings/Resource",),
    ),
    *_calls(
        "HIPAA.Security-S3BucketLoggingEnabled",
        _CLOUDTRAIL_TELLS,
        ("Recordings/Resource",),
    ),
    *_calls(
        "HIPAA.Security-S3BucketReplicationEnabled",
        "What is made of a recording can be made anew, and recordings come from a telephone system that keeps its own;"
        " a second region would spread what guests said further than needed.",
        ("Recordings/Resource",),
    ),
    *_calls(
        "HIPAA.Security-DynamoDBInBackupPlan",
        "Point-in-time recovery is on for each table, and all of them can be made anew from the bucket.",
        ("Calls/Resource", "Turns/Resource", "Jobs/Resource"),
    ),
    *_calls(
        "AwsSolutions-SF1",
        _ERRORS_ONLY,
        ("Workflow",),
    ),
)


# --- training-pipeline, realtime-endpoint, model-monitor

_TRAINING, _SERVING, _MONITOR = "training-pipeline", "realtime-endpoint", "model-monitor"
_DATA, _CAPTURES, _REPORTS = "<Bucket83908E77.Arn>", "<CapturesDE857D5D.Arn>", "<Reports65402A0A.Arn>"
_OWN_MONITOR, _MANAGED_MONITOR = {"monitor": "own"}, {"monitor": "managed"}
_OVERNIGHT = {"stop_overnight": True}
_STARTED: tuple[Mapping[str, object], ...] = ({"start_on_data": "marker"}, {"start_on_data": "every-object"})
_SCHEDULED: tuple[Mapping[str, object], ...] = tuple({"schedule": rate} for rate in ("daily", "weekly", "monthly"))

# By architecture: constructs, and the settings with which they are there.
Places = Sequence[tuple[str, tuple[str, ...], Mapping[str, object]]]

_MODEL_FUNCTIONS: Places = (
    (_TRAINING, ("EmptiedBucket/Worker", "Placed/Worker", "Retire"), {}),
    (_SERVING, ("EmptiedCaptures/Worker", "Retire"), {}),
    (_MONITOR, ("EmptiedReports/Worker", "PublishReport"), {}),
    (_MONITOR, ("StartMonitor",), _OWN_MONITOR),
)
_MODEL_ROLES: Places = (
    (_TRAINING, ("ProcessingRole", "TrainingRole", "PipelineRole", "StartRole", "TellRole", "TellerRole"), {}),
    *((_TRAINING, ("StarterRole",), when) for when in _STARTED),
    *((_TRAINING, ("ScheduleRole",), when) for when in _SCHEDULED),
    (_SERVING, ("ModelRole", "DeploymentRole", "StarterRole"), {}),
    (_SERVING, ("NightRole",), _OVERNIGHT),
    (_MONITOR, ("JobRole",), {}),
    (_MONITOR, ("ScheduleRole",), _OWN_MONITOR),
    (_MONITOR, ("RetrainRole",), {"retrain": True}),
)
_MODEL_BUCKETS: Places = ((_TRAINING, ("Bucket",), {}), (_SERVING, ("Captures",), {}), (_MONITOR, ("Reports",), {}))
_MODEL_QUEUES: Places = tuple((one, ("DeadLetters",), {}) for one in (_TRAINING, _SERVING, _MONITOR))


def _models(rule: str, reason: str, places: Places, ending: str = "") -> tuple[Acknowledgement, ...]:
    """One entry for each architecture and situation; `ending` is what follows each construct."""
    made = []
    for architecture, constructs, when in places:
        named = tuple(f"{construct}{ending}" for construct in constructs)
        made.append(Acknowledgement(architecture, rule, reason, () if when else named, named if when else (), when))
    return tuple(made)


def _grant(
    pattern: str, reason: str, *places: tuple[str, tuple[str, ...], Mapping[str, object]]
) -> tuple[Acknowledgement, ...]:
    """A pattern in grants of these roles."""
    return _models(f"AwsSolutions-IAM5[Resource::{pattern}]", reason, places, "/DefaultPolicy/Resource")


_ACCESS_PROJECT = "<aws:PrincipalTag/project>"
_ACCESS_ROLES = "arn:<AWS::Partition>:iam::<AWS::AccountId>:role/<AWS::StackName>"
_ACCESS_DATA = "<Data666C94C7.Arn>"


def _access(rule: str, reason: str, *constructs: str) -> Acknowledgement:
    return Acknowledgement(
        architecture="access-control",
        rule=rule,
        reason=reason,
        constructs=tuple(f"{construct}/Resource" for construct in constructs),
    )


def _access_grant(pattern: str, reason: str, *policies: str) -> Acknowledgement:
    return _access(f"AwsSolutions-IAM5[Resource::{pattern}]", reason, *policies)


ACKNOWLEDGEMENTS += (
    _access("AwsSolutions-S1", _NO_ACCESS_LOG, "Data"),
    _access("AwsSolutions-L1", _PYTHON, "EmptiedData/Worker/Function"),
    _access_grant(
        "*",
        "A boundary grants nothing: its ceiling lists the actions that a policy may grant at most, the policy says on"
        " what.",
        *(f"{person}Boundary" for person in ("Scientist", "Engineer", "Administrator", "Auditor")),
        "JobBoundary",
    ),
    _access_grant(
        "*",
        "Lists of SageMaker and tracing name no resource. The check for wildcards lets `*` pass"
        " for these actions alone.",
        "ScientistPolicy",
        "AuditorPolicy",
        "EmptiedData/Worker/Role/DefaultPolicy",
    ),
    _access_grant(f"{_ACCESS_DATA}/*", _EMPTIED, "EmptiedData/Worker/Role/DefaultPolicy"),
    _access_grant(
        f"{_ACCESS_DATA}/*",
        "A boundary grants nothing: the policy of each job's role says which part of the bucket it may use.",
        "JobBoundary",
    ),
    *(
        _access_grant(
            f"arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:{kind}/{_ACCESS_PROJECT}-*",
            "People name what they make, after their project: its name begins the ARN, and IAM fills in the session's"
            " own.",
            *policies,
        )
        for kind, policies in {
            "training-job": ("ScientistPolicy", "AdministratorPolicy", "AuditorPolicy", "VisitorSession"),
            "processing-job": ("ScientistPolicy", "AdministratorPolicy"),
            "model-package": ("ScientistPolicy", "EngineerPolicy"),
            "model": ("EngineerPolicy",),
            "endpoint-config": ("EngineerPolicy",),
            "endpoint": ("EngineerPolicy", "AuditorPolicy"),
        }.items()
    ),
    *(
        _access_grant(
            f"{_ACCESS_DATA}/{_ACCESS_PROJECT}/{prefix}*",
            "The objects of the session's own project, in this prefix.",
            *policies,
        )
        for prefix, policies in {
            "": ("ScientistPolicy",),
            "work/": ("ScientistPolicy", "VisitorSession"),
            "models/": ("EngineerPolicy",),
        }.items()
    ),
    *(
        _access_grant(
            f"{_ACCESS_ROLES}/jobs/{_ACCESS_PROJECT}/{path}*",
            "Administrators make the roles of jobs, under the path of their project, and name them.",
            *policies,
        )
        for path, policies in {
            "training/": ("ScientistPolicy",),
            "hosting/": ("EngineerPolicy",),
            "": ("AdministratorPolicy", "AuditorPolicy"),
        }.items()
    ),
    _access_grant(
        f"{_ACCESS_ROLES}/people/*",
        "The four roles of this stack under this path, whose names CloudFormation makes.",
        "Broker/DefaultPolicy",
        "AuditorPolicy",
    ),
    _access_grant(
        "arn:<AWS::Partition>:iam::<AWS::AccountId>:policy/<AWS::StackName>-*",
        "The policies of this stack, whose names CloudFormation begins with the stack's.",
        "AuditorPolicy",
    ),
)


_MODEL_ARN = "arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:"
_OF_TRAINING = "arn:<AWS::Partition>:s3:::<TrainingPipelineStack>-BucketName/"
_OF_SERVING = "arn:<AWS::Partition>:s3:::<RealtimeEndpointStack>-CaptureBucketName/"
_SERVED_NAMES = "A deployment's model and configuration are named after the endpoint, the version and the execution."
_JOB_LOGS = (
    "All jobs of a kind write into one group of SageMaker's, under streams that begin with the job's name; SageMaker"
    " makes the names."
)
_ALL_VERSIONS = "Every version of this one group may be approved, and has a baseline."
_TRAINED = "Each execution's artifact lies under a name of its own here; any may be approved."

ACKNOWLEDGEMENTS += (
    *_models(
        "AwsSolutions-L1",
        "The newest Python on which these handlers run locally too; AWS supports it until 2029-06-30.",
        _MODEL_FUNCTIONS,
        "/Function/Resource",
    ),
    *_models(
        "AwsSolutions-IAM5[Resource::*]",
        "Tracing, PutMetricData (held to a namespace by a condition), lists of SageMaker and the deregistration of a"
        " variant name no resource. The check for wildcards lets `*` pass for these actions alone.",
        _MODEL_FUNCTIONS,
        "/Role/DefaultPolicy/Resource",
    ),
    *_grant(
        "*",
        "A registry's token, PutMetricData (held to a namespace), tracing, log delivery, lists of SageMaker and the"
        " registration of a variant (held to SageMaker's by conditions) name no resource.",
        (_TRAINING, ("ProcessingRole", "TrainingRole", "StartRole", "TellRole"), {}),
        (_SERVING, ("ModelRole", "DeploymentRole"), {}),
        (_MONITOR, ("JobRole",), {}),
    ),
    *_models(
        _INTERFACES,
        _INTERFACES_WHY,
        (
            (_TRAINING, ("ProcessingRole", "TrainingRole"), {"network": "private"}),
            (_MONITOR, ("JobRole",), {"network": "private"}),
        ),
        "/DefaultPolicy/Resource",
    ),
    *_models(
        "HIPAA.Security-IAMNoInlinePolicy",
        "A policy of one function alone goes with its role, and can be attached to nothing else.",
        _MODEL_FUNCTIONS,
        "/Role/DefaultPolicy/Resource",
    ),
    *_models(
        "HIPAA.Security-IAMNoInlinePolicy",
        "Each kind of job, rule and schedule has a role of its own, so no two would share a managed policy.",
        _MODEL_ROLES,
        "/DefaultPolicy/Resource",
    ),
    *_models(
        "HIPAA.Security-LambdaConcurrency",
        "They run once an hour, a report or a deployment. A reserved share would be taken from the account's other"
        " functions, and is refused where an account has few.",
        _MODEL_FUNCTIONS,
        "/Function/Resource",
    ),
    *_models(
        "HIPAA.Security-LambdaDLQ",
        "Those that are invoked asynchronously have a queue as their failure destination, which tells the error too;"
        " CloudFormation gets the errors of the others itself.",
        _MODEL_FUNCTIONS,
        "/Function/Resource",
    ),
    *_models("HIPAA.Security-LambdaInsideVPC", _NO_NETWORK, _MODEL_FUNCTIONS, "/Function/Resource"),
    *_models("AwsSolutions-S1", _NO_ACCESS_LOG, _MODEL_BUCKETS, "/Resource"),
    *_models("HIPAA.Security-S3BucketLoggingEnabled", _CLOUDTRAIL_TELLS, _MODEL_BUCKETS, "/Resource"),
    *_models(
        "HIPAA.Security-S3BucketReplicationEnabled",
        "What is in it is a copy or can be made anew: data from where it was uploaded from, models by the pipeline,"
        " reports from captures, and captures expire. A second region is a decision of its own (`multi-region`).",
        _MODEL_BUCKETS,
        "/Resource",
    ),
    *_models(
        "AwsSolutions-SQS3",
        "It is the dead-letter queue itself: of rules, schedules and functions, which no queue feeds.",
        _MODEL_QUEUES,
        "/Resource",
    ),
    *_models(
        "AwsSolutions-SF1",
        _ERRORS_ONLY,
        ((_TRAINING, ("Start", "Tell"), {}), (_SERVING, ("Deployment",), {})),
    ),
    *_models(
        "HIPAA.Security-CloudWatchAlarmAction",
        "The composite alarm over these three tells people, once; the three themselves take an update back.",
        ((_SERVING, ("ServerErrorsAlarm", "ModelLatencyAlarm", "OverheadAlarm"), {}),),
        "/Resource",
    ),
    # What a role reads and writes.
    *(
        entry
        for architecture, bucket, worker in (
            (_TRAINING, _DATA, "EmptiedBucket/Worker/Role"),
            (_SERVING, _CAPTURES, "EmptiedCaptures/Worker/Role"),
            (_MONITOR, _REPORTS, "EmptiedReports/Worker/Role"),
        )
        for entry in _grant(f"{bucket}/*", _EMPTIED, (architecture, (worker,), {}))
    ),
    *_grant(
        f"{_DATA}/data/*",
        "A training reads all data that was brought: everything under this prefix.",
        (_TRAINING, ("ProcessingRole",), {}),
    ),
    *_grant(
        f"{_DATA}/code/*",
        "The jobs' code lies under its digest here; nothing else does.",
        (_TRAINING, ("ProcessingRole", "TrainingRole"), {}),
    ),
    *_grant(
        f"{_DATA}/runs/*",
        "What one step hands to the next lies under the execution's id here.",
        (_TRAINING, ("ProcessingRole", "TrainingRole"), {}),
    ),
    *_grant(
        f"{_DATA}/runs/*/prepare/report/checkpoints/*",
        "A training that spot capacity was taken from goes on from what it kept in this folder of its execution.",
        (_TRAINING, ("TrainingRole",), {}),
    ),
    *_grant(f"{_DATA}/models/*", _TRAINED, (_TRAINING, ("ProcessingRole", "TrainingRole"), {})),
    *_grant(
        f"{_DATA}/runs/*/evaluate/evaluation/evaluation.json",
        "The condition reads the evaluation of its execution: this one file of each.",
        (_TRAINING, ("PipelineRole",), {}),
    ),
    *_grant(f"{_OF_TRAINING}models/*", _TRAINED, (_SERVING, ("ModelRole",), {})),
    *_grant(
        f"{_OF_TRAINING}runs/*/baseline/baseline/*",
        _ALL_VERSIONS,
        (_SERVING, ("DeploymentRole",), {}),
        (_MONITOR, ("JobRole",), _OWN_MONITOR),
    ),
    *_grant(
        f"{_OF_TRAINING}code/*",
        "The monitor's jobs unpack the same code as the pipeline's, under its digest.",
        (_MONITOR, ("JobRole",), _OWN_MONITOR),
    ),
    *_grant(
        f"{_OF_TRAINING}production/baseline/*",
        "The managed monitor reads the two files of the baseline in production.",
        (_MONITOR, ("JobRole",), _MANAGED_MONITOR),
    ),
    *_grant(
        f"{_CAPTURES}/captures/<AWS::StackName>/*",
        "SageMaker names captures by hour: under this endpoint's prefix.",
        (_SERVING, ("ModelRole",), {}),
    ),
    *_grant(
        f"{_OF_SERVING}captures/*",
        "The monitor judges every hour's captures of the one endpoint that writes into this bucket.",
        (_MONITOR, ("JobRole",), {}),
    ),
    *_grant(
        f"{_REPORTS}/reports/*",
        "Each hour's report lies under its job's name here.",
        (_MONITOR, ("JobRole", "PublishReport/Role"), {}),
    ),
    *_grant(
        f"{_REPORTS}/ground-truth/*",
        "Labels lie here under the hour in which they arrived.",
        (_MONITOR, ("JobRole",), _OWN_MONITOR),
    ),
    # Names that are made while it runs.
    *_grant(
        "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/aws/sagemaker/ProcessingJobs:*",
        _JOB_LOGS,
        (_TRAINING, ("ProcessingRole",), {}),
        (_MONITOR, ("JobRole",), {}),
    ),
    *_grant(
        "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/aws/sagemaker/TrainingJobs:*",
        _JOB_LOGS,
        (_TRAINING, ("TrainingRole",), {}),
    ),
    *_grant(
        f"{_MODEL_ARN}model-package/<AWS::StackName>/*",
        "SageMaker numbers the versions of this one group.",
        (_TRAINING, ("PipelineRole", "StartRole", "Retire/Role"), {}),
    ),
    *_grant(
        f"{_MODEL_ARN}pipeline/<AWS::StackName>/execution/*",
        "Any execution of this one pipeline may fail, and is asked why; at the end of the stack all are stopped.",
        (_TRAINING, ("TellRole", "Retire/Role"), {}),
    ),
    *(
        entry
        for job in (
            "processing-job/pipelines-*-prepare",
            "processing-job/pipelines-*-baseline",
            "processing-job/pipelines-*-evaluate",
            "training-job/pipelines-*-train",
        )
        for entry in _grant(
            f"{_MODEL_ARN}{job}-*",
            "SageMaker names a step's job after the execution (an id that it makes up), the step, and a number.",
            (_TRAINING, ("PipelineRole",) if job.startswith("training") else ("PipelineRole", "TellRole"), {}),
        )
    ),
    *_grant(
        f"{_MODEL_ARN}model-package/<TrainingPipelineStack>-ModelPackageGroupName/*",
        _ALL_VERSIONS,
        (_SERVING, ("DeploymentRole",), {}),
        (_MONITOR, ("StartMonitor/Role",), _OWN_MONITOR),
    ),
    *(
        entry
        for kind in ("model", "endpoint-config")
        for pattern, place in (
            (f"{kind}/<AWS::StackName>-v*", (_SERVING, ("DeploymentRole", "Retire/Role"), {})),
            (f"{kind}/<RealtimeEndpointStack>-EndpointName-v*", (_MONITOR, ("StartMonitor/Role",), _OWN_MONITOR)),
        )
        for entry in _grant(f"{_MODEL_ARN}{pattern}", _SERVED_NAMES, place)
    ),
    *_grant(
        "arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:TargetTracking-endpoint/<AWS::StackName>/"
        "variant/AllTraffic-*",
        "Application Auto Scaling names the alarms of a target after it and a number of its own.",
        (_SERVING, ("DeploymentRole", "Retire/Role"), {}),
    ),
    *_grant(
        "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:<Deployment.Name>:*",
        "At the end of the stack every deployment that still runs is stopped: of this one state machine.",
        (_SERVING, ("Retire/Role",), {}),
    ),
    *_grant(
        f"{_MODEL_ARN}processing-job/<AWS::StackName>-*",
        "A job of the monitor is named after the stack and its hour.",
        (_MONITOR, ("StartMonitor/Role",), _OWN_MONITOR),
    ),
    Acknowledgement(
        architecture="cost-guard",
        rule="AwsSolutions-SQS3",
        reason="It is the dead-letter queue of the schedule, which no other queue names.",
        constructs=("DeadLetters/Resource",),
    ),
    Acknowledgement(
        architecture="cost-guard",
        rule="AwsSolutions-IAM5[Resource::*]",
        reason=(
            "sagemaker:ListApps, sagemaker:ListNotebookInstances, xray:PutTraceSegments and xray:PutTelemetryRecords"
            " support no resource. The check for wildcards lets `*` pass for these actions alone."
        ),
        constructs=("StopIdle/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="cost-guard",
        rule="AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:app/d-*]",
        reason="It guards the apps of every Studio domain of the account, whatever their users call them.",
        constructs=("StopIdle/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="cost-guard",
        rule=(
            "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:"
            "notebook-instance/{notebook_prefix}*]"
        ),
        reason="It guards every notebook instance under the prefix, and none outside.",
        constructs=("StopIdle/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="cost-guard",
        rule="AwsSolutions-L1",
        reason=(_PYTHON),
        constructs=("StopIdle/Function/Resource",),
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-S1",
        reason=(
            "The archive takes records from two services alone, and the answers are read by auditors; the trail's own"
            " data events tell who reads either. Server access logs would want a third bucket, which nobody watches."
        ),
        constructs=("Archive/Resource", "Answers/Resource"),
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-IAM5[Resource::*]",
        reason=_AUDIT_NO_RESOURCE,
        constructs=("EmptiedAnswers/Worker/Role/DefaultPolicy/Resource",),
        optional=("JudgeJobs/Role/DefaultPolicy/Resource",),
        when={"config_rules": True},
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-IAM5[Resource::*]",
        reason=_AUDIT_NO_RESOURCE,
        constructs=(),
        optional=("EmptiedArchive/Worker/Role/DefaultPolicy/Resource",),
        when={"archive": "sandbox"},
    ),
    Acknowledgement(
        architecture="audit",
        rule=(
            "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:"
            "processing-job/*]"
        ),
        reason=_EVERY_JOB,
        constructs=(),
        optional=("JudgeJobs/Role/DefaultPolicy/Resource",),
        when={"config_rules": True},
    ),
    Acknowledgement(
        architecture="audit",
        rule=(
            "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:training-job/*]"
        ),
        reason=_EVERY_JOB,
        constructs=(),
        optional=("JudgeJobs/Role/DefaultPolicy/Resource",),
        when={"config_rules": True},
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWS_ConfigRole]",
        reason=(
            "What AWS Config reads of each type of resource is in this policy, which AWS keeps up to date; a copy of it"
            " would miss the types that come."
        ),
        constructs=(),
        optional=("RecorderRole/Resource",),
        when={"config_rules": True},
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-IAM5[Resource::<ArchiveDA4CB258.Arn>/*]",
        reason=_EMPTIED,
        constructs=(),
        optional=("EmptiedArchive/Worker/Role/DefaultPolicy/Resource",),
        when={"archive": "sandbox"},
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-IAM5[Resource::<Answers9615456C.Arn>/*]",
        reason=_EMPTIED,
        constructs=("EmptiedAnswers/Worker/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-SQS3",
        reason="It is the dead-letter queue of the rules, which no other queue names.",
        constructs=("DeadLetters/Resource",),
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-L1",
        reason=(_PYTHON),
        constructs=("EmptiedAnswers/Worker/Function/Resource",),
        optional=("JudgeJobs/Function/Resource",),
        when={"config_rules": True},
    ),
    Acknowledgement(
        architecture="audit",
        rule="AwsSolutions-L1",
        reason=(_PYTHON),
        constructs=(),
        optional=("EmptiedArchive/Worker/Function/Resource",),
        when={"archive": "sandbox"},
    ),
    Acknowledgement(
        architecture="secure-studio",
        rule="AwsSolutions-S1",
        reason=_CLOUDTRAIL_TELLS,
        constructs=("Project/Resource",),
    ),
    Acknowledgement(
        architecture="secure-studio",
        rule="AwsSolutions-IAM5[Resource::*]",
        reason=(
            "xray:PutTraceSegments and xray:PutTelemetryRecords support no resource. The check for wildcards lets `*`"
            " pass for these alone."
        ),
        constructs=("EmptiedProject/Worker/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="secure-studio",
        rule="AwsSolutions-IAM5[Resource::<ProjectC78D97AD.Arn>/*]",
        reason=_EMPTIED,
        constructs=("EmptiedProject/Worker/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="secure-studio",
        rule="AwsSolutions-IAM5[Resource::<ProjectC78D97AD.Arn>/work/*]",
        reason="Scientists work in one folder of the project's bucket, and auditors read it, whatever is in it.",
        constructs=(
            "ScientistRole/DefaultPolicy/Resource",
            "NotebookRole/DefaultPolicy/Resource",
            "AuditorRole/DefaultPolicy/Resource",
        ),
    ),
    Acknowledgement(
        architecture="secure-studio",
        rule="AwsSolutions-IAM5[Resource::<ProjectC78D97AD.Arn>/results/*]",
        reason="Engineers and auditors read a folder of the project's bucket, whatever is in it.",
        constructs=("EngineerRole/DefaultPolicy/Resource", "AuditorRole/DefaultPolicy/Resource"),
    ),
    Acknowledgement(
        architecture="secure-studio",
        rule="AwsSolutions-L1",
        reason=(_PYTHON),
        constructs=("EmptiedProject/Worker/Function/Resource",),
    ),
)


# --- data-protection

_PROTECTION = "data-protection"
_PROTECTION_FUNCTIONS: Places = (
    (_PROTECTION, ("ShareFile", "EmptiedAccessLogs/Worker", "EmptiedPersonal/Worker", "EmptiedDerived/Worker"), {}),
)

ACKNOWLEDGEMENTS += (
    *_models(
        "AwsSolutions-L1",
        "Handlers run on the same Python here and on AWS, which supports 3.13 until 2029-06-30.",
        _PROTECTION_FUNCTIONS,
        "/Function/Resource",
    ),
    *_models(
        "AwsSolutions-IAM5[Resource::*]",
        "The two actions by which these functions send traces support no resource.",
        _PROTECTION_FUNCTIONS,
        "/Role/DefaultPolicy/Resource",
    ),
    *_grant(
        "<Personal32FED1E6.Arn>/shared/*",
        "Any file under this prefix may be shared: that is what it is for.",
        (_PROTECTION, ("ShareFile/Role",), {}),
    ),
    *(
        entry
        for bucket, role in (("Personal32FED1E6", "PersonalRole"), ("Derived2F7F6E82", "DerivedRole"))
        for entry in _grant(
            f"<{bucket}.Arn>/*",
            "The role of a class works with all files of its bucket, and a stack that ends empties it.",
            (_PROTECTION, (role, f"Emptied{bucket[:-8]}/Worker/Role"), {}),
        )
    ),
    *_grant("<AccessLogs8B620ECA.Arn>/*", _EMPTIED, (_PROTECTION, ("EmptiedAccessLogs/Worker/Role",), {})),
    *_models(
        "HIPAA.Security-IAMNoInlinePolicy",
        "Each policy belongs to one role, goes with it, and can be attached to nothing else.",
        (
            (_PROTECTION, ("PersonalRole", "DerivedRole"), {}),
            (_PROTECTION, tuple(f"{name}/Role" for name in _PROTECTION_FUNCTIONS[0][1]), {}),
        ),
        "/DefaultPolicy/Resource",
    ),
    *_models(
        "HIPAA.Security-LambdaConcurrency",
        "People ask for links one at a time, and CloudFormation empties each bucket once: nothing is to be bounded.",
        _PROTECTION_FUNCTIONS,
        "/Function/Resource",
    ),
    *_models(
        "HIPAA.Security-LambdaDLQ",
        "Whoever asks for a link waits for the answer, and CloudFormation for its own: no event could be lost.",
        _PROTECTION_FUNCTIONS,
        "/Function/Resource",
    ),
    *_models("HIPAA.Security-LambdaInsideVPC", _NO_NETWORK, _PROTECTION_FUNCTIONS, "/Function/Resource"),
    *_models(
        "HIPAA.Security-S3BucketReplicationEnabled",
        "Data about people is to be in as few places as it can; `model-vault` replicates what must outlive a region.",
        ((_PROTECTION, ("AccessLogs", "Personal", "Derived"), {}),),
        "/Resource",
    ),
    *_models(
        "HIPAA.Security-S3DefaultEncryptionKMS",
        "S3 delivers access logs into buckets under its own keys only; the logs hold names of files and no content.",
        ((_PROTECTION, ("AccessLogs",), {}),),
        "/Resource",
    ),
)


# --- model-vault

_VAULT = "model-vault"
_VAULT_FUNCTIONS: Places = ((_VAULT, ("Replica", "EmptiedVault/Worker", "EmptiedAccessLogs/Worker"), {}),)
_COPIES = "arn:<AWS::Partition>:s3:::<AWS::StackName>-replica-*"

ACKNOWLEDGEMENTS += (
    *_models(
        "AwsSolutions-L1",
        "The vault's functions run on 3.13 both here and on AWS, which supports it until 2029-06-30.",
        _VAULT_FUNCTIONS,
        "/Function/Resource",
    ),
    *_models(
        "AwsSolutions-IAM5[Resource::*]",
        "X-Ray's two actions support no resource, and a key that is yet to be made has no name.",
        _VAULT_FUNCTIONS,
        "/Role/DefaultPolicy/Resource",
    ),
    *_grant("<AccessLogs8B620ECA.Arn>/*", _EMPTIED, (_VAULT, ("EmptiedAccessLogs/Worker/Role",), {})),
    *_grant(
        "<Vault23237E5B.Arn>/*",
        "The vault's roles work with every artifact, each in its own way; a stack that ends empties it.",
        (_VAULT, ("ArchivistRole", "AuditorRole", "ReplicationRole", "EmptiedVault/Worker/Role"), {}),
    ),
    *_grant(
        "<ReplicaBucket.BucketArn>/*",
        "The copies of all artifacts lie in the second region: the replication writes them, the auditor reads them.",
        (_VAULT, ("AuditorRole", "ReplicationRole"), {}),
    ),
    *(
        entry
        for pattern in (_COPIES, f"{_COPIES}/*")
        for entry in _grant(
            pattern,
            "The bucket of the second region is called after the stack and digits of its id, which come with it.",
            (_VAULT, ("Replica/Role",), {}),
        )
    ),
)


# --- The same question in several packs

# The packs that ask what HIPAA's asks, under the same name, of the same stacks; each with what it does not ask: read
# off cdk-nag's own packs, 2026-11-27.
_ALIKE: Mapping[str, frozenset[str]] = {
    "NIST.800.53.R5": frozenset(
        [
            "ALBHttpDropInvalidHeaderEnabled",
            "APIGWXrayEnabled",
            "CodeBuildProjectEnvVarAwsCred",
            "CodeBuildProjectSourceRepoUrl",
            "EC2InstanceDetailedMonitoringEnabled",
            "EMRKerberosEnabled",
            "IAMGroupHasUsers",
            "RDSAutomaticMinorVersionUpgradeEnabled",
        ]
    ),
    "PCI.DSS.321": frozenset(
        [
            "APIGWXrayEnabled",
            "CloudWatchAlarmAction",
            "DynamoDBAutoScalingEnabled",
            "DynamoDBInBackupPlan",
            "DynamoDBPITREnabled",
            "EC2EBSInBackupPlan",
            "EC2EBSOptimizedInstance",
            "EC2IMDSv2Enabled",
            "EC2InstanceDetailedMonitoringEnabled",
            "EFSInBackupPlan",
            "ELBCrossZoneLoadBalancingEnabled",
            "ELBDeletionProtectionEnabled",
            "ElastiCacheRedisClusterAutomaticBackup",
            "ElasticBeanstalkEnhancedHealthReportingEnabled",
            "ElasticBeanstalkManagedUpdatesEnabled",
            "LambdaConcurrency",
            "LambdaDLQ",
            "RDSEnhancedMonitoringEnabled",
            "RDSInBackupPlan",
            "RDSInstanceBackupEnabled",
            "RDSInstanceDeletionProtectionEnabled",
            "RDSMultiAZSupport",
            "RedshiftBackupEnabled",
            "SecretsManagerRotationEnabled",
        ]
    ),
}
# Rules of AwsSolutions that these packs have too, and HIPAA's has not.
_BEYOND_HIPAA = {"AwsSolutions-APIG3": "APIGWAssociatedWithWAF"}
_SENSITIVE = frozenset(architecture.id for architecture in ARCHITECTURES if architecture.sensitive)


def asked_alike(architecture: str, rule: str) -> tuple[str, ...]:
    """The rule, and those of other packs that ask the same: a finding that is right as it is, is so for all of them."""
    question = rule.removeprefix("HIPAA.Security-") if rule.startswith("HIPAA.Security-") else _BEYOND_HIPAA.get(rule)
    if question is None or architecture not in _SENSITIVE:
        return (rule,)
    return (rule, *(f"{pack}-{question}" for pack, without in _ALIKE.items() if question not in without))


def expected(
    settings: Mapping[str, Mapping[str, object]], table: Sequence[Acknowledgement] = ACKNOWLEDGEMENTS
) -> dict[Finding, str]:
    """The findings that the table acknowledges, with the reason of each.

    `settings` are the values by architecture; entries of architectures that are not among them are left out.
    """
    return {
        (rule.format(**settings[entry.architecture]), f"{entry.architecture}/{construct}"): entry.reason
        for entry in table
        if entry.architecture in settings
        for rule in asked_alike(entry.architecture, entry.rule)
        for construct in entry.places(settings[entry.architecture])
    }
