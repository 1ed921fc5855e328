"""The language of pipeline definitions: what a definition may say, and what its expressions stand for.

Served: parameters with their types, defaults and permitted values; `Get`, `Std:Join`, `Std:JsonGet`; conditions with
`Equals`, the four comparisons, `In`, `Not` and `Or`; `DependsOn`; property files; caching; retry policies. A definition
that says anything else is refused when the pipeline is made, as is one that refers to what is not there or goes in
circles, or whose arguments have members that the job's operation lacks.

Sources, read 2026-11-27: Amazon SageMaker AI Developer Guide, "Retry Policy for Pipeline Steps", "Turn on step
caching", "Default cache key attributes by pipeline step type". The form of the rest is that of definitions which the
SageMaker Python SDK 3 writes (schema version 2020-12-01).
"""

import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from local.services.sagemaker.records import Members
from local.services.wire import service_model

VERSION = "2020-12-01"

# By step type: the operation that carries it out. Condition and Fail have none.
OPERATIONS = {
    "Processing": "CreateProcessingJob",
    "Training": "CreateTrainingJob",
    "Transform": "CreateTransformJob",
    "Model": "CreateModel",
    "RegisterModel": "CreateModelPackage",
}
TYPES = (*OPERATIONS, "Condition", "Fail")

# What a step must have in common with an earlier one for that one's results to be used.
CACHE_KEYS: Mapping[str, Sequence[str]] = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
}

EXCEPTIONS = (
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)

EXECUTION = (
    "CurrentDateTime",
    "PipelineArn",
    "PipelineExecutionArn",
    "PipelineExecutionId",
    "PipelineName",
    "StartDateTime",
)

_KINDS: Mapping[str, Callable[[Any], Any]] = {"String": str, "Integer": int, "Float": float, "Boolean": bool}
_STEP = {
    "Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description", "CacheConfig", "PropertyFiles",
    "RetryPolicies",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_DURATION = re.compile(
    r"P?(?:(?P<y>\d+)y)?(?:(?P<mo>\d+)m)?(?:(?P<w>\d+)w)?(?:(?P<d>\d+)d)?(?:T(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?)?", re.I
)
_SECONDS = {"y": 365 * 86_400, "mo": 30 * 86_400, "w": 7 * 86_400, "d": 86_400, "h": 3600, "m": 60}
# `.name`, `['name']` and `[0]` of a path.
_PART = re.compile(r"\.?(?P<name>[^.\[\]]+)|\[(?P<quote>['\"])(?P<key>.*?)(?P=quote)\]|\[(?P<index>\d+)\]")
# By what a list of a description is looked into with a name.
_NAMES = ("OutputName", "InputName", "ChannelName", "MetricName")


class DefinitionError(Exception):
    """A definition makes no sense, or says what is not served. The message says what."""


class ExpressionError(Exception):
    """An expression stands for nothing. The message says which."""


@dataclass(frozen=True)
class RetryPolicy:
    """When and how often a step is tried again."""

    exceptions: frozenset[str]
    interval: float = 1.0
    backoff: float = 2.0
    attempts: int = 5
    expires: float = float("inf")  # Seconds after the step's start.


@dataclass
class Step:
    """A step of a definition. `branch` is the condition that it belongs to and whether that must hold, if any."""

    name: str
    type: str
    arguments: Members
    after: frozenset[str] = frozenset()
    branch: tuple[str, bool] | None = None
    display: Members = field(default_factory=dict)
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # Name → output, path.
    cached_for: float | None = None  # Seconds; None: not at all.
    retries: Sequence[RetryPolicy] = ()


@dataclass
class Definition:
    """A definition that makes sense."""

    text: str
    parameters: Mapping[str, Mapping[str, Any]]
    steps: Mapping[str, Step]  # In the order of the definition, those of branches included.


def parse(text: str) -> Definition:
    """Read a definition. Raises DefinitionError."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DefinitionError(f"The definition is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("Version") != VERSION:
        raise DefinitionError(f"The definition's Version must be {VERSION}.")
    parameters = {one["Name"]: one for one in document.get("Parameters", [])}
    for name, one in parameters.items():
        if one.get("Type") not in _KINDS:
            raise DefinitionError(f"The parameter {name} must be of a type among {', '.join(_KINDS)}.")
        if "DefaultValue" in one:
            _permitted(one, one["DefaultValue"])
    steps: dict[str, Step] = {}
    for step in _steps(document.get("Steps", []), None):
        if step.name in steps:
            raise DefinitionError(f"Two steps are called {step.name}.")
        steps[step.name] = step
    if not steps:
        raise DefinitionError("The definition has no steps.")
    definition = Definition(text, parameters, steps)
    _check_references(definition)
    _check_order(definition)
    return definition


def _steps(given: Any, branch: tuple[str, bool] | None) -> Iterator[Step]:
    for one in given:
        name, kind = str(one.get("Name", "")), str(one.get("Type", ""))
        if not _NAME.fullmatch(name):
            raise DefinitionError(f"{name!r} cannot be a step's name.")
        if kind not in TYPES:
            raise DefinitionError(
                f"This local cloud does not serve the step type {kind!r} of {name}; it serves {', '.join(TYPES)}."
            )
        if unknown := set(one) - _STEP:
            raise DefinitionError(f"This local cloud does not serve {', '.join(sorted(unknown))} of the step {name}.")
        arguments = one.get("Arguments")
        if not isinstance(arguments, dict):
            raise DefinitionError(f"The step {name} has no Arguments.")
        own = {key: value for key, value in arguments.items() if key not in ("IfSteps", "ElseSteps")}
        files = {
            file["PropertyFileName"]: (file["OutputName"], file["FilePath"]) for file in one.get("PropertyFiles", [])
        }
        step = Step(
            name,
            kind,
            own,
            branch=branch,
            display={key: one[key] for key in ("DisplayName", "Description") if key in one},
            files=files,
            cached_for=_cached_for(name, kind, one.get("CacheConfig", {})),
            retries=[_policy(name, policy) for policy in one.get("RetryPolicies", [])],
        )
        step.after = frozenset({*one.get("DependsOn", []), *_mentioned(own)})
        _check_arguments(step)
        yield step
        if kind == "Condition":
            yield from _steps(arguments.get("IfSteps", []), (name, True))
            yield from _steps(arguments.get("ElseSteps", []), (name, False))


def _cached_for(name: str, kind: str, config: Mapping[str, Any]) -> float | None:
    if not config.get("Enabled"):
        return None
    if kind not in CACHE_KEYS:
        raise DefinitionError(f"This local cloud caches {', '.join(CACHE_KEYS)} steps only, not {name}.")
    text = config.get("ExpireAfter")
    if text is None:
        return float("inf")
    found = _DURATION.fullmatch(str(text))
    if found is None or not any(found.groupdict().values()):
        raise DefinitionError(f"ExpireAfter of {name} is no duration such as 30d or T16m: {text!r}")
    return sum(int(value) * _SECONDS[unit] for unit, value in found.groupdict().items() if value)


def _policy(name: str, given: Mapping[str, Any]) -> RetryPolicy:
    kinds = frozenset(given.get("ExceptionType", ()))
    if not kinds or kinds - set(EXCEPTIONS):
        raise DefinitionError(f"A retry policy of {name} needs ExceptionType among {', '.join(EXCEPTIONS)}.")
    expires = given.get("ExpireAfterMin")
    return RetryPolicy(
        kinds,
        float(given.get("IntervalSeconds", 1)),
        float(given.get("BackoffRate", 2.0)),
        int(given.get("MaxAttempts", 5 if expires is None else 1_000_000)),
        float("inf") if expires is None else float(expires) * 60,
    )


def _check_arguments(step: Step) -> None:
    """Raises DefinitionError for members that the step's operation lacks."""
    if step.type in OPERATIONS:
        shape = service_model("sagemaker").operation_model(OPERATIONS[step.type]).input_shape
        if shape is not None and (wrong := next(_misspelt(step.arguments, shape, ""), None)):
            raise DefinitionError(f"{OPERATIONS[step.type]} of the step {step.name} has no {wrong}.")
    elif step.type == "Fail" and "ErrorMessage" not in step.arguments:
        raise DefinitionError(f"The step {step.name} needs an ErrorMessage.")
    elif step.type == "Condition":
        if not step.arguments.get("Conditions"):
            raise DefinitionError(f"The step {step.name} has no Conditions.")
        for condition in step.arguments["Conditions"]:
            _check_condition(step.name, condition)


def _misspelt(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if _is_expression(value):
        return
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, item in value.items():
            if name not in shape.members:
                yield f"{path}{name}"
            else:
                yield from _misspelt(item, shape.members[name], f"{path}{name}.")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for item in value:
            yield from _misspelt(item, shape.member, path)
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for item in value.values():
            yield from _misspelt(item, shape.value, path)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda left, right: bool(left == right),
    "GreaterThan": lambda left, right: bool(left > right),
    "GreaterThanOrEqualTo": lambda left, right: bool(left >= right),
    "LessThan": lambda left, right: bool(left < right),
    "LessThanOrEqualTo": lambda left, right: bool(left <= right),
}
_MEMBERS = {"Not": {"Expression"}, "Or": {"Conditions"}, "In": {"QueryValue", "Values"}}


def _check_condition(step: str, condition: Mapping[str, Any]) -> None:
    kind = str(condition.get("Type"))
    wanted = {"LeftValue", "RightValue"} if kind in _COMPARISONS else _MEMBERS.get(kind)
    if wanted is None or set(condition) - {"Type"} != wanted:
        raise DefinitionError(f"A condition of {step} is not served, or lacks something: {json.dumps(condition)[:200]}")
    inner = [condition["Expression"]] if kind == "Not" else condition["Conditions"] if kind == "Or" else []
    for one in inner:
        _check_condition(step, one)


# --- References ------------------------------------------------------------------------------------------------------


def _is_expression(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("Get", "Std:Join", "Std:JsonGet")


def _gets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"Get"} and isinstance(value["Get"], str):
            yield value["Get"]
        else:
            for item in value.values():
                yield from _gets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _gets(item)


def _mentioned(value: Any) -> Iterator[str]:
    """The steps that a value refers to."""
    for path in _gets(value):
        if path.startswith("Steps."):
            yield str(_parts(path)[1])


def _check_references(definition: Definition) -> None:
    for step in definition.steps.values():
        for name in step.after:
            if name not in definition.steps:
                raise DefinitionError(f"The step {step.name} refers to {name}, which is not there.")
        for path in _gets(step.arguments):
            head, *rest = _parts(path)
            known = {"Parameters": definition.parameters, "Execution": EXECUTION, "Steps": definition.steps}.get(
                str(head)
            )
            if known is None or not rest or rest[0] not in known:
                raise DefinitionError(f"The step {step.name} refers to {path}, which is not there.")
            if head == "Steps" and len(rest) > 2 and rest[1] == "PropertyFiles":
                other = definition.steps[str(rest[0])]
                if rest[2] not in other.files:
                    raise DefinitionError(f"The step {step.name} refers to {path}, which is not there.")


def _check_order(definition: Definition) -> None:
    """Raises DefinitionError where steps wait for each other."""
    left = {name: set(needed(definition, step)) for name, step in definition.steps.items()}
    while left:
        free = [name for name, after in left.items() if not after & set(left)]
        if not free:
            raise DefinitionError(f"These steps wait for each other: {', '.join(sorted(left))}")
        for name in free:
            del left[name]


def needed(definition: Definition, step: Step) -> frozenset[str]:
    """The steps that must have succeeded before this one starts: those that it mentions, and its condition."""
    return step.after | ({step.branch[0]} if step.branch else frozenset())


# --- Values ----------------------------------------------------------------------------------------------------------


def given(definition: Definition, values: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of an execution by the texts that it was started with. Raises DefinitionError."""
    if unknown := set(values) - set(definition.parameters):
        raise DefinitionError(f"The pipeline has no parameters {', '.join(sorted(unknown))}.")
    found = {}
    for name, one in definition.parameters.items():
        if name in values:
            found[name] = _typed(one, values[name])
        elif "DefaultValue" in one:
            found[name] = one["DefaultValue"]
        else:
            raise DefinitionError(f"The parameter {name} has no default and was not given.")
        _permitted(one, found[name])
    return found


def _typed(parameter: Mapping[str, Any], text: str) -> Any:
    kind = parameter["Type"]
    try:
        if kind == "Boolean":
            return {"true": True, "false": False}[text.lower()]
        return _KINDS[kind](text)
    except (ValueError, KeyError) as error:
        raise DefinitionError(f"The parameter {parameter['Name']} must be a {kind}, and {text!r} is none.") from error


def _permitted(parameter: Mapping[str, Any], value: Any) -> None:
    kind = parameter["Type"]
    fits = isinstance(value, _KINDS[kind] if kind != "Float" else (int, float))  # type: ignore[arg-type]
    if not fits or (kind in ("Integer", "Float") and isinstance(value, bool)):
        raise DefinitionError(f"The parameter {parameter['Name']} must be a {kind}, and {value!r} is none.")
    if "EnumValues" in parameter and value not in parameter["EnumValues"]:
        raise DefinitionError(f"The parameter {parameter['Name']} must be among {parameter['EnumValues']}.")


@dataclass
class Scope:
    """What expressions of an execution may refer to.

    steps  by name: the properties of a step that has ended, as its Describe operation answers
    file   reads a JSON file from its `s3://` address; raises ExpressionError
    """

    definition: Definition
    parameters: Mapping[str, Any]
    execution: Mapping[str, str]
    file: Callable[[str], Any]
    steps: dict[str, Members] = field(default_factory=dict)

    def resolve(self, value: Any) -> Any:
        """A value with what its expressions stand for. Raises ExpressionError."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not _is_expression(value):
            return {key: self.resolve(item) for key, item in value.items()}
        kind, content = next(iter(value.items()))
        if kind == "Get":
            return self._get(content)
        if kind == "Std:Join":
            return str(content["On"]).join(_text(self.resolve(item)) for item in content["Values"])
        return self._json(content)

    def _get(self, path: str) -> Any:
        head, name, *rest = _parts(path)
        if head == "Parameters":
            return self.parameters[str(name)]
        if head == "Execution":
            return self.execution[str(name)]
        if name not in self.steps:
            raise ExpressionError(f"{path}: the step {name} has not run.")
        return _followed(self.steps[str(name)], rest, path)

    def _json(self, content: Mapping[str, Any]) -> Any:
        if "S3Uri" in content:
            uri = str(self.resolve(content["S3Uri"]))
        else:
            _, name, _, file = _parts(content["PropertyFile"]["Get"])
            output, path = self.definition.steps[str(name)].files[str(file)]
            where = self._get(f"Steps.{name}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri")
            uri = f"{where.rstrip('/')}/{path}"
        return _followed(self.file(uri), _parts(content["Path"]), f"{content['Path']} of {uri}")

    def holds(self, condition: Mapping[str, Any]) -> bool:
        """Whether a condition holds. Raises ExpressionError, also for values that cannot be compared."""
        kind = condition["Type"]
        if kind == "Not":
            return not self.holds(condition["Expression"])
        if kind == "Or":
            return any(self.holds(one) for one in condition["Conditions"])
        if kind == "In":
            return self.resolve(condition["QueryValue"]) in self.resolve(condition["Values"])
        left, right = self.resolve(condition["LeftValue"]), self.resolve(condition["RightValue"])
        if kind != "Equals" and isinstance(left, str) != isinstance(right, str):
            raise ExpressionError(f"{left!r} and {right!r} cannot be compared.")
        try:
            return _COMPARISONS[kind](left, right)
        except TypeError as error:
            raise ExpressionError(f"{left!r} and {right!r} cannot be compared.") from error


def _parts(path: str) -> list[str | int]:
    """The parts of a path such as `Steps.Prepare.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri`."""
    found: list[str | int] = []
    position = 0
    while position < len(path):
        match = _PART.match(path, position)
        if match is None:
            raise DefinitionError(f"{path!r} is no path.")
        found.append(int(match["index"]) if match["index"] else match["key"] or match["name"])
        position = match.end()
    return found


def _followed(value: Any, parts: Sequence[str | int], path: str) -> Any:
    for part in parts:
        if isinstance(value, list) and isinstance(part, str):
            value = next((one for one in value if any(one.get(key) == part for key in _NAMES)), None)
            found = value is not None
        else:
            try:
                value = value[part]
                found = True
            except (LookupError, TypeError):
                found = False
        if not found:
            raise ExpressionError(f"There is no {path}.")
    return value.isoformat() if isinstance(value, datetime.datetime) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
