"""Labels every uploaded photograph once and keeps the result.

Environment: RESULTS_TABLE, IDEMPOTENCY_TABLE, MINIMUM_CONFIDENCE (percent), MAXIMUM_LABELS, UPLOAD_PREFIX (all needed);
POWERTOOLS_SERVICE_NAME, POWERTOOLS_LOG_LEVEL (for the logger).

What its role needs, and nothing else (the poller's and the log's rights aside):

| action | resource | for |
|---|---|---|
| s3:GetObjectVersion | objects under the upload prefix | reading exactly the version that the event names |
| rekognition:DetectLabels | * (the action takes no resource) | the labels |
| dynamodb:PutItem, dynamodb:UpdateItem | results table | result rows, reasons, the pointer to the newest version |
| dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem | idempotency table | lock, done mark, release |

Tables: results has the keys `image` (S, partition) and `version` (S, sort); idempotency has `id` (S), and its time to
live in `expiration`.
"""
