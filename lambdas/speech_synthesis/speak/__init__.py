"""Speaks every uploaded text once: short ones at once, long ones by a task whose end `record_end` records.

Environment, all needed: RESULTS_TABLE, TASKS_TABLE, INPUT_PREFIX, OUTPUT_PREFIX, END_TOPIC (ARN), VOICE, ENGINE,
OUTPUT_FORMAT (mp3 or ogg_vorbis). For the logger: POWERTOOLS_SERVICE_NAME, POWERTOOLS_LOG_LEVEL.

What its role needs beside the poller's and the log's rights:

| action | resource | for |
|---|---|---|
| s3:GetObjectVersion | objects under the input prefix | reading exactly the version that the event names |
| s3:PutObject | objects under the output prefix | the sound of short texts; Polly writes that of long ones as the caller |
| polly:SynthesizeSpeech, polly:StartSpeechSynthesisTask | * (no lexicon is used) | the speech |
| sns:Publish | the topic of ended tasks | Polly tells it as the caller |
| dynamodb:UpdateItem | results table, tasks table | the claim, the result, the reason, the task |

Without s3:ListBucket S3 answers AccessDenied, not NoSuchKey, for a version that is gone: such a message ends as a dead
letter with that reason, since the function cannot tell it from a missing right.
"""
