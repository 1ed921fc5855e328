"""Records how a synthesis task ended, when Polly's notification comes: early, late or twice.

Environment, all needed: RESULTS_TABLE, TASKS_TABLE. For the logger: POWERTOOLS_SERVICE_NAME, POWERTOOLS_LOG_LEVEL.

What its role needs beside the poller's and the log's rights: dynamodb:UpdateItem on both tables, and
polly:GetSpeechSynthesisTask on * (the action takes no resource): Polly's guide does not show what a notification holds,
so only the task's id is taken from it, and the end is asked for.
"""
