"""Has texts analysed together, as many as come at once, and keeps a row for each.

Environment, all needed: RESULTS_TABLE, LANGUAGES (codes of Comprehend with commas between), PERSONAL_DATA (ignored,
marked or masked), MOST_FINDINGS. For the logger: POWERTOOLS_SERVICE_NAME, POWERTOOLS_LOG_LEVEL.

What its role needs beside the poller's and the log's rights:

| action | resource | for |
|---|---|---|
| comprehend:BatchDetectDominantLanguage, -Sentiment, -Entities, -KeyPhrases | * (they take no resource) | insights |
| comprehend:DetectPiiEntities | * (takes no resource) | personal data; not needed where it is ignored |
| dynamodb:PutItem | results table | claims, results and reasons |

The queue's visibility must be longer than the function's time, so that the claim of a killed worker has run out at the
next delivery. A message needs two deliveries at least before it is a dead letter (see `results`).
"""
