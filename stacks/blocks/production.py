"""Where the model in production is kept, within the bucket of the training stack.

`realtime-endpoint` writes there what it has put into service; `training-pipeline` compares a new model with it, and
`model-monitor` reads its baseline where it must be told a place in advance.
"""

# A prefix of its own: a processing job takes all that lies under one, and fails where there is nothing. So a note lies
# there from the beginning.
PRODUCTION_MODEL_PREFIX = "production/model/"
PRODUCTION_MODEL = f"{PRODUCTION_MODEL_PREFIX}model.tar.gz"
PRODUCTION_NOTE = f"{PRODUCTION_MODEL_PREFIX}about.txt"
PRODUCTION_BASELINE = "production/baseline/"
