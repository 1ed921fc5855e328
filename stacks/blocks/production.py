"""Where the model in production is kept, within the bucket of the training stack.

`realtime-endpoint` writes there what it has put into service; `training-pipeline` compares a new model with it, and
`model-monitor` reads its baseline where it must be told a place in advance.
"""

# A job fails on an input that is not there. So an archive that says of itself that it holds no model lies there from the
# beginning.
PRODUCTION_MODEL = "production/model.tar.gz"
PRODUCTION_BASELINE = "production/baseline/"
