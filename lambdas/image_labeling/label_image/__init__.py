"""Labels every uploaded photograph once and keeps the result.

Environment, all needed: RESULTS_TABLE, IDEMPOTENCY_TABLE, MINIMUM_CONFIDENCE (percent), MAXIMUM_LABELS, UPLOAD_PREFIX.
For the logger: POWERTOOLS_SERVICE_NAME, POWERTOOLS_LOG_LEVEL.

What its role needs beside the poller's and the log's rights:

| action | resource | for |
|---|---|---|
| s3:GetObjectVersion | objects under the upload prefix | reading exactly the version that the event names |
| rekognition:DetectLabels | * (the action takes no resource) | the labels |
| dynamodb:PutItem | results table | results, reasons, the pointer to the newest version |
| dynamodb:PutItem | idempotency table | the lock, and its completion |
| dynamodb:DeleteItem | idempotency table | releasing the lock after a failure |

Results and completion are one transaction, which is authorised as the writes in it (Amazon DynamoDB Developer Guide,
"Using IAM with DynamoDB transactions", read 2026-11-23). Without s3:ListBucket S3 answers AccessDenied, not
NoSuchKey, for a version that is gone (Amazon S3 API Reference, "GetObject", read 2026-11-23): such a message then
ends as a dead letter with that reason, since the function cannot tell it from a missing right.

Needs 1,024 MB (see `images`) and 60 s for one image at worst (see `aws`); the queue's visibility must be longer than
the function's time, so that the lock of a killed worker has expired at the next delivery, and a message needs two
deliveries at least before it is a dead letter (see `results`).
"""
