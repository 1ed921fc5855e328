"""Where data and models lie: prefixes that several stacks name, for one writes what another reads.

In the bucket of `training-pipeline` the definitions of `pipelines/` have the say (`pipelines.definition.placeholders`);
beside theirs there are `CODE` and `PRODUCTION_BASELINE`. `CAPTURES` is in the bucket of `realtime-endpoint`.
"""

from pipelines.definition.placeholders import DATA_PREFIX, MODELS_PREFIX, RUNS_PREFIX

# For those who bring data; all else in the bucket is the pipeline's.
DATA = DATA_PREFIX
# A folder an execution, in it one a step, in that one an output.
RUNS = RUNS_PREFIX
MODELS = MODELS_PREFIX
CODE = "code/"

# Within the folders of executions: what the condition reads, what is registered for the monitor, what training keeps.
EVALUATION = f"{RUNS}*/evaluate/evaluation/evaluation.json"
BASELINES = f"{RUNS}*/baseline/baseline/"
CHECKPOINTS = f"{RUNS}*/prepare/report/checkpoints/*"

# The baseline of what is in service: `realtime-endpoint` keeps it here for the managed monitor, which must be told a
# place in advance.
PRODUCTION_BASELINE = "production/baseline/"

CAPTURES = "captures/"
