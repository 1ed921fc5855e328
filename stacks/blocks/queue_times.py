"""How long queues keep and hide messages: without the CDK, for what only counts with it (`stacks/policy/scale.py`)."""

# What waits for work longer than this is gone, without a trace: no dead letter is made of it.
WORK_RETENTION_DAYS = 4
# The longest that SQS allows.
DEAD_LETTER_RETENTION_DAYS = 14
# Times the function's timeout (AWS Lambda Developer Guide, "Creating and configuring an Amazon SQS event source
# mapping", read 2026-11-25).
VISIBILITY_FACTOR = 6
