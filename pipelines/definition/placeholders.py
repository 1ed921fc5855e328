"""What a committed definition leaves open, as `${Name}`, and a stack fills in with `Fn::Sub`.

Pure data: a stack imports it without the SageMaker SDK.
"""

from __future__ import annotations

from typing import Final

# Name and meaning. A definition holds these and no other; a test compares.
PLACEHOLDERS: Final = {
    "DataBucket": "name of the bucket with the data, and for all that a run makes",
    "CodeUri": "S3 URI of the source archive (`pipelines.definition.archive`), a single object",
    "CodeFile": "file name of that object, the last part of its key; ends in `.tar.gz`",
    "KeyArn": "KMS key of the volumes and the outputs",
    "ProcessingRoleArn": "role of the processing jobs: reads data and code, reads and writes runs, reads models",
    "TrainingRoleArn": "role of the training job: reads code and runs, writes models and checkpoints",
    "SklearnImage": "AWS's image sagemaker-scikit-learn:1.4-2-cpu-py3 in the region of the stack",
    "XGBoostImage": "AWS's image sagemaker-xgboost:3.0-5 in the region of the stack",
    "ModelPackageGroupName": "the group that models are registered in",
    "AWS::Region": "CloudFormation's own: the region of the stack",
}

# Where things lie in the data bucket. The roles' grants go by these.
DATA_PREFIX: Final = "data/"  # CSV files, read by Prepare; the default of the parameter InputDataUri
RUNS_PREFIX: Final = "runs/"  # RUN/STEP/OUTPUT/..., a run being an execution's id; checkpoints among them
MODELS_PREFIX: Final = "models/"  # RUN/JOB/output/: model.tar.gz and output.tar.gz of the training job

# Parameters that whoever starts an execution may set; the rest are for people. See `pipelines.definition.steps`.
INPUT_DATA_URI: Final = "InputDataUri"
DATA_VERSION: Final = "DataVersion"
PRODUCTION_MODEL_URI: Final = "ProductionModelUri"


def placeholder(name: str) -> str:
    """`${name}`. Raises KeyError for one that is not listed."""
    if name not in PLACEHOLDERS:
        raise KeyError(name)
    return f"${{{name}}}"
