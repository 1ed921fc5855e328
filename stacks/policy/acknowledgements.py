"""Best-practice findings that are right as they are: one reason a rule and situation, applied where it names.

An entry holds at the constructs that it names and nowhere else. One that finds nothing to acknowledge (the construct
is gone, or the finding is) stops the synthesis, so that the table cannot rot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
_REPORT = "The report of each call lies under its id here."

ACKNOWLEDGEMENTS: tuple[Acknowledgement, ...] = (
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
    _of_functions(
        "HIPAA.Security-LambdaInsideVPC",
        _NO_NETWORK,
        "Function/Resource",
    ),
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


def expected(
    settings: Mapping[str, Mapping[str, object]], table: Sequence[Acknowledgement] = ACKNOWLEDGEMENTS
) -> dict[Finding, str]:
    """The findings that the table acknowledges, with the reason of each.

    `settings` are the values by architecture; entries of architectures that are not among them are left out.
    """
    return {
        (entry.rule.format(**settings[entry.architecture]), f"{entry.architecture}/{construct}"): entry.reason
        for entry in table
        if entry.architecture in settings
        for construct in entry.places(settings[entry.architecture])
    }
