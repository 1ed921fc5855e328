"""Best-practice findings that are right as they are: one reason a rule and situation, applied where it names.

An entry holds at the constructs that it names and nowhere else. One that finds nothing to acknowledge (the construct
is gone, or the finding is) stops the synthesis, so that the table cannot rot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# (rule, construct path)
Finding = tuple[str, str]


@dataclass(frozen=True)
class Acknowledgement:
    """`rule` is cdk-nag's id with its finding; `{name}` in it stands for that setting of the architecture."""

    architecture: str
    rule: str
    reason: str
    constructs: tuple[str, ...]


ACKNOWLEDGEMENTS: tuple[Acknowledgement, ...] = (
    Acknowledgement(
        architecture="image-labeling",
        rule="AwsSolutions-S1",
        reason=(
            "The bucket takes objects from the account's own users only; who read or wrote which is told by CloudTrail"
            " data events, which an account switches on once. Server access logs would want a second bucket a stack."
        ),
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
        reason="When the stack is deleted its bucket is emptied: all versions of all objects, in this bucket alone.",
        constructs=("EmptiedImages/Worker/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="image-labeling",
        rule="AwsSolutions-L1",
        reason=(
            'python3.13 is supported until 2029-06-30 (AWS Lambda Developer Guide, "Lambda runtimes"), and is the'
            " newest Python on which the handlers also run locally. The check for deprecated runtimes watches the date."
        ),
        constructs=("LabelImage/Function/Resource", "EmptiedImages/Worker/Function/Resource"),
    ),
    Acknowledgement(
        architecture="speech-synthesis",
        rule="AwsSolutions-S1",
        reason=(
            "The bucket takes objects from the account's own users only; who read or wrote which is told by CloudTrail"
            " data events, which an account switches on once. Server access logs would want a second bucket a stack."
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
        reason="When the stack is deleted its bucket is emptied: all versions of all objects, in this bucket alone.",
        constructs=("EmptiedSpeech/Worker/Role/DefaultPolicy/Resource",),
    ),
    Acknowledgement(
        architecture="speech-synthesis",
        rule="AwsSolutions-L1",
        reason=(
            'python3.13 is supported until 2029-06-30 (AWS Lambda Developer Guide, "Lambda runtimes"), and is the'
            " newest Python on which the handlers also run locally. The check for deprecated runtimes watches the date."
        ),
        constructs=(
            "Speak/Function/Resource",
            "RecordEnd/Function/Resource",
            "EmptiedSpeech/Worker/Function/Resource",
        ),
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
        for construct in entry.constructs
    }
