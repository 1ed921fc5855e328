"""What goes wrong in the life of an architecture, and which test shows how each one stands it.

Data only. One row an architecture, one cell a situation: the dotted names of the tests that answer it, run against
the deployed stack, or the reason why the situation cannot arise. tests/scenarios/test_matrix.py fails on an empty
cell, on a test that does not exist, and on an available architecture without a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Situation:
    """Something that happens to every system sooner or later, and the question that it asks."""

    id: str
    question: str


@dataclass(frozen=True)
class AnsweredBy:
    """Dotted names of test functions ("tests.scenarios.test_x.test_y"), without parameters."""

    tests: tuple[str, ...]


@dataclass(frozen=True)
class DoesNotApply:
    """The situation cannot arise in this architecture, and why."""

    reason: str


Cell = AnsweredBy | DoesNotApply

SITUATIONS: tuple[Situation, ...] = (
    Situation("duplicate-event", "The same event is delivered again: one result, one paid call?"),
    Situation("odd-key", "The key is URL-encoded in the event or not ASCII: is the right object read and named?"),
    Situation("corrupt-input", "The input is not what its name says: a recorded result rather than an endless retry?"),
    Situation("oversized-input", "The input is larger than the service accepts: handled, or refused with a reason?"),
    Situation("throttled-service", "The service answers with throttling for a while: is everything done in the end?"),
    Situation("service-down-then-back", "The service fails for long, then works: is anything lost?"),
    Situation("poison-message", "A message can never succeed: does it reach the DLQ with its reason, and redrive?"),
    Situation("partial-batch", "One of a batch fails: are the others done once, and only the bad one again?"),
    Situation("asynchronous-job-failed", "A job that was started fails: is the failure recorded?"),
    Situation("notification-late-or-twice", "A notification comes late, out of order or twice: is the result right?"),
    Situation("permission-removed", "A permission is taken away: does the flow stop and say so, then go on?"),
)

_HAPPY = "tests.scenarios.test_image_labeling"
_FAILS = "tests.scenarios.test_image_labeling_failures"
_RIGHTS = "tests.scenarios.test_image_labeling_permissions"

_TEXTS = "tests.scenarios.test_text_insights"
_TEXTS_FAIL = "tests.scenarios.test_text_insights_failures"
_TEXTS_RIGHTS = "tests.scenarios.test_text_insights_permissions"
_SPOKEN = "tests.scenarios.test_speech_synthesis"
_UNSPOKEN = "tests.scenarios.test_speech_synthesis_failures"
_SPEAKING_RIGHTS = "tests.scenarios.test_speech_synthesis_permissions"
_CALLS = "tests.scenarios.test_call_analytics"
_CALLS_FAIL = "tests.scenarios.test_call_analytics_failures"
_CALLS_RIGHTS = "tests.scenarios.test_call_analytics_permissions"
_DOCUMENTS = "tests.scenarios.test_document_processing"
_TRAINED = "tests.scenarios.test_training_pipeline"
_UNTRAINED = "tests.scenarios.test_training_pipeline_failures"
_TRAINING_RIGHTS = "tests.scenarios.test_training_pipeline_permissions"
_SERVES = "tests.scenarios.test_realtime_endpoint"
_SERVING_FAILS = "tests.scenarios.test_realtime_endpoint_failures"
_SERVING_RIGHTS = "tests.scenarios.test_realtime_endpoint_permissions"
_MONITOR = "tests.scenarios.test_model_monitor"
_MONITOR_FAILS = "tests.scenarios.test_model_monitor_failures"
_MONITOR_RIGHTS = "tests.scenarios.test_model_monitor_permissions"
_PROTECTED = "tests.scenarios.test_data_protection"
_VAULT = "tests.scenarios.test_model_vault"

_ACCESS = "tests.scenarios.test_access_control"
_NO_FLOW = "Nothing flows: people ask, and each request is answered at once"
_NETWORK = "tests.scenarios.test_private_network"
_NETWORK_RIGHTS = "tests.scenarios.test_private_network_permissions"
_NETWORK_PLACED = "tests.scenarios.test_private_network_placed"
_GUARD = "tests.scenarios.test_cost_guard"
_STUDIO = "tests.scenarios.test_secure_studio"
_AUDIT = "tests.scenarios.test_audit"

MATRIX: Mapping[str, Mapping[str, Cell]] = {
    "data-protection": {
        "duplicate-event": DoesNotApply("no event starts anything: a link that is asked for twice is two links"),
        "odd-key": AnsweredBy((f"{_PROTECTED}.test_a_link_opens_one_version_of_one_file",)),
        "corrupt-input": AnsweredBy((f"{_PROTECTED}.test_what_is_not_shared_is_refused_with_a_reason",)),
        "oversized-input": DoesNotApply("no content goes through the function: S3 takes and gives files of any size"),
        "throttled-service": AnsweredBy((f"{_PROTECTED}.test_a_throttled_s3_is_asked_again",)),
        "service-down-then-back": AnsweredBy(
            (f"{_PROTECTED}.test_while_s3_is_down_the_asker_hears_so_and_later_gets_a_link",)
        ),
        "poison-message": DoesNotApply("there is no queue: whoever asks for a link waits for the answer"),
        "partial-batch": DoesNotApply("a request is for one file"),
        "asynchronous-job-failed": DoesNotApply("nothing is started whose end could fail unseen"),
        "notification-late-or-twice": DoesNotApply("nothing waits for a notification"),
        "permission-removed": AnsweredBy(
            (
                f"{_PROTECTED}.test_without_a_permission_no_link_is_made_and_those_that_are_out_are_void",
                f"{_PROTECTED}.test_what_would_weaken_the_protection_is_refused_and_nothing_else",
                f"{_PROTECTED}.test_every_denial_and_every_condition_is_missed_when_it_goes",
            )
        ),
    },
    "model-vault": {
        "duplicate-event": AnsweredBy((f"{_VAULT}.test_what_would_change_a_model_is_refused_and_nothing_else",)),
        "odd-key": AnsweredBy((f"{_VAULT}.test_what_would_change_a_model_is_refused_and_nothing_else",)),
        "corrupt-input": DoesNotApply("an artifact is kept as it comes: nothing looks into it"),
        "oversized-input": DoesNotApply("nothing but S3 takes the artifact, which refuses what is too large by itself"),
        "throttled-service": AnsweredBy((f"{_VAULT}.test_a_throttled_s3_is_asked_again_when_the_stack_is_made",)),
        "service-down-then-back": DoesNotApply(
            "S3 alone serves it: whoever puts or reads gets its error, and asks again"
        ),
        "poison-message": DoesNotApply("there is no queue: whoever puts an artifact waits for the answer"),
        "partial-batch": DoesNotApply("a request is for one artifact"),
        "asynchronous-job-failed": AnsweredBy((f"{_VAULT}.test_a_copy_that_cannot_be_made_says_so",)),
        "notification-late-or-twice": DoesNotApply("nothing waits for a notification"),
        "permission-removed": AnsweredBy(
            (
                f"{_VAULT}.test_a_copy_that_cannot_be_made_says_so",
                f"{_VAULT}.test_not_even_an_administrator_deletes_a_version_before_its_time",
                f"{_VAULT}.test_every_denial_and_every_condition_is_missed_when_it_goes",
            )
        ),
    },
    "image-labeling": {
        "duplicate-event": AnsweredBy((f"{_HAPPY}.test_the_same_event_twice_is_one_row_and_one_paid_call",)),
        "odd-key": AnsweredBy((f"{_HAPPY}.test_a_key_is_read_and_stored_as_the_user_wrote_it",)),
        "corrupt-input": AnsweredBy((f"{_FAILS}.test_a_file_that_is_no_image_is_rejected_once_with_a_reason",)),
        "oversized-input": AnsweredBy((f"{_FAILS}.test_an_image_larger_than_the_service_accepts_is_made_to_fit",)),
        "throttled-service": AnsweredBy((f"{_FAILS}.test_a_throttled_service_is_retried_until_it_answers",)),
        "service-down-then-back": AnsweredBy(
            (f"{_FAILS}.test_a_service_that_is_down_leaves_a_reason_and_a_message_that_can_be_redriven",)
        ),
        "poison-message": AnsweredBy(
            (
                f"{_FAILS}.test_a_message_that_cannot_be_read_reaches_the_dlq_with_its_reason",
                f"{_FAILS}.test_a_poison_message_is_mended_and_redriven",
            )
        ),
        "partial-batch": AnsweredBy((f"{_FAILS}.test_only_the_bad_message_of_a_batch_comes_back",)),
        "asynchronous-job-failed": DoesNotApply(
            "DetectLabels answers within the call: no job is started whose end could fail unseen"
        ),
        "notification-late-or-twice": AnsweredBy(
            (
                f"{_HAPPY}.test_a_late_event_of_an_old_version_does_not_move_the_latest_pointer_back",
                f"{_HAPPY}.test_the_same_event_twice_is_one_row_and_one_paid_call",
            )
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_RIGHTS}.test_without_a_permission_of_its_role_the_function_says_so_and_recovers",
                f"{_RIGHTS}.test_without_the_queue_policy_no_event_reaches_the_queue",
                f"{_RIGHTS}.test_without_its_queue_permissions_the_function_is_not_invoked",
                f"{_RIGHTS}.test_without_its_log_permissions_no_line_is_written",
                f"{_RIGHTS}.test_without_its_tracing_permissions_no_trace_is_kept",
                f"{_RIGHTS}.test_without_the_topic_policy_nobody_is_told_of_an_alarm",
                f"{_RIGHTS}.test_without_its_key_the_function_reads_no_message",
            )
        ),
    },
    "text-insights": {
        "duplicate-event": AnsweredBy((f"{_TEXTS}.test_the_same_message_twice_is_one_row_and_one_paid_analysis",)),
        "odd-key": AnsweredBy((f"{_TEXTS}.test_an_id_is_kept_as_its_sender_wrote_it",)),
        "corrupt-input": AnsweredBy(
            (f"{_TEXTS_FAIL}.test_a_text_that_cannot_be_analysed_is_rejected_once_with_a_reason",)
        ),
        "oversized-input": AnsweredBy(
            (
                f"{_TEXTS}.test_a_text_that_is_too_large_is_refused_by_bytes_not_characters",
                f"{_TEXTS_FAIL}.test_a_text_too_large_for_a_message_of_old_is_still_a_result",
            )
        ),
        "throttled-service": AnsweredBy(
            (
                f"{_TEXTS_FAIL}.test_a_throttled_service_is_retried_until_it_answers",
                f"{_TEXTS_FAIL}.test_throttling_that_lasts_leaves_its_reason",
            )
        ),
        "service-down-then-back": AnsweredBy(
            (
                f"{_TEXTS_FAIL}.test_a_service_that_is_down_leaves_a_reason_and_a_message_that_can_be_redriven",
                f"{_TEXTS_FAIL}.test_an_outage_of_the_table_loses_nothing",
            )
        ),
        "poison-message": AnsweredBy(
            (
                f"{_TEXTS_FAIL}.test_a_message_that_cannot_be_read_reaches_the_dlq_with_its_reason",
                f"{_TEXTS_FAIL}.test_a_poison_message_is_mended_and_redriven",
            )
        ),
        "partial-batch": AnsweredBy((f"{_TEXTS_FAIL}.test_only_the_bad_message_of_a_batch_comes_back",)),
        "asynchronous-job-failed": DoesNotApply(
            "Comprehend's synchronous operations answer within the call: no job is started whose end could fail unseen"
        ),
        "notification-late-or-twice": AnsweredBy((f"{_TEXTS}.test_messages_out_of_order_do_not_disturb_each_other",)),
        "permission-removed": AnsweredBy(
            (
                f"{_TEXTS_RIGHTS}.test_without_a_permission_of_its_role_the_function_says_so_and_recovers",
                f"{_TEXTS_RIGHTS}.test_without_its_queue_permissions_the_function_is_not_invoked",
                f"{_TEXTS_RIGHTS}.test_without_its_log_permissions_no_line_is_written",
                f"{_TEXTS_RIGHTS}.test_without_its_tracing_permissions_no_trace_is_kept",
                f"{_TEXTS_RIGHTS}.test_without_the_topic_policy_nobody_is_told_of_an_alarm",
                f"{_TEXTS_RIGHTS}.test_without_its_key_the_function_reads_no_message",
            )
        ),
    },
    "speech-synthesis": {
        "duplicate-event": AnsweredBy((f"{_SPOKEN}.test_the_same_event_twice_is_one_row_and_one_paid_call",)),
        "odd-key": AnsweredBy((f"{_SPOKEN}.test_a_key_is_read_and_stored_as_the_user_wrote_it",)),
        "corrupt-input": AnsweredBy(
            (
                f"{_UNSPOKEN}.test_ssml_that_is_no_xml_is_rejected_with_its_line",
                f"{_UNSPOKEN}.test_ssml_that_polly_refuses_is_rejected_once_with_its_reason",
                f"{_UNSPOKEN}.test_a_text_that_is_no_utf8_is_rejected_with_the_mend",
            )
        ),
        "oversized-input": AnsweredBy(
            (
                f"{_SPOKEN}.test_a_long_text_is_spoken_by_a_task_whose_end_is_recorded",
                f"{_UNSPOKEN}.test_a_text_that_even_a_task_does_not_take_is_rejected_with_the_mend",
            )
        ),
        "throttled-service": AnsweredBy((f"{_UNSPOKEN}.test_a_throttled_service_is_retried_until_it_answers",)),
        "service-down-then-back": AnsweredBy(
            (f"{_UNSPOKEN}.test_a_service_that_is_down_leaves_a_reason_and_a_message_that_can_be_redriven",)
        ),
        "poison-message": AnsweredBy(
            (
                f"{_UNSPOKEN}.test_a_message_that_cannot_be_read_reaches_the_dlq_with_its_reason",
                f"{_UNSPOKEN}.test_a_service_that_is_down_leaves_a_reason_and_a_message_that_can_be_redriven",
            )
        ),
        "partial-batch": DoesNotApply(
            "Each text is a delivery of its own, for it takes as long as a call to Polly; of the ends, which come ten"
            " at a time, only the bad message returns: test_only_the_bad_notification_comes_back (unit)"
        ),
        "asynchronous-job-failed": AnsweredBy(
            (
                f"{_UNSPOKEN}.test_a_task_that_fails_is_recorded_with_its_reason_and_told",
                f"{_SPEAKING_RIGHTS}.test_without_the_right_to_tell_it_a_failed_task_waits",
            )
        ),
        "notification-late-or-twice": AnsweredBy(
            (
                f"{_UNSPOKEN}.test_a_notification_twice_changes_nothing",
                f"{_UNSPOKEN}.test_a_notification_that_comes_before_the_task_is_known_is_recorded",
                f"{_UNSPOKEN}.test_a_notification_of_a_task_that_no_text_waits_for_changes_nothing",
            )
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_SPEAKING_RIGHTS}.test_without_a_permission_of_its_role_a_text_waits_and_is_spoken_once_it_is_back",
                f"{_SPEAKING_RIGHTS}.test_without_its_permission_the_end_of_a_task_waits",
                f"{_SPEAKING_RIGHTS}.test_a_task_that_may_not_write_fails_and_says_so",
                f"{_SPEAKING_RIGHTS}.test_without_the_queue_policy_no_end_reaches_its_queue",
                f"{_SPEAKING_RIGHTS}.test_without_the_right_to_publish_nobody_is_told_that_a_task_has_ended",
                f"{_SPEAKING_RIGHTS}.test_without_the_queue_policy_no_event_reaches_the_queue",
            )
        ),
    },
    "document-processing": {
        "duplicate-event": AnsweredBy((f"{_DOCUMENTS}.test_the_same_event_twice_is_one_execution_and_one_paid_call",)),
        "odd-key": AnsweredBy((f"{_DOCUMENTS}.test_a_key_is_read_and_stored_as_the_user_wrote_it",)),
        "corrupt-input": AnsweredBy(
            (
                f"{_DOCUMENTS}_failures.test_a_document_that_can_never_be_read_is_rejected_once_with_a_reason",
                f"{_DOCUMENTS}_failures.test_a_document_that_only_textract_refuses_is_rejected",
            )
        ),
        "oversized-input": AnsweredBy(
            (f"{_DOCUMENTS}_failures.test_a_document_that_can_never_be_read_is_rejected_once_with_a_reason",)
        ),
        "throttled-service": AnsweredBy(
            (f"{_DOCUMENTS}_failures.test_a_throttled_service_is_retried_until_it_answers",)
        ),
        "service-down-then-back": AnsweredBy(
            (
                f"{_DOCUMENTS}_failures"
                ".test_a_service_that_is_down_leaves_a_reason_and_the_document_can_be_started_again",
            )
        ),
        "poison-message": AnsweredBy(
            (f"{_DOCUMENTS}_failures.test_a_message_that_cannot_be_read_reaches_the_dlq_and_a_mended_one_is_done",)
        ),
        "partial-batch": AnsweredBy((f"{_DOCUMENTS}_failures.test_only_the_bad_message_of_a_batch_comes_back",)),
        "asynchronous-job-failed": AnsweredBy((f"{_DOCUMENTS}_failures.test_a_job_that_fails_is_a_recorded_failure",)),
        "notification-late-or-twice": AnsweredBy(
            (
                f"{_DOCUMENTS}_failures.test_a_message_that_comes_before_the_token_is_stored_is_not_lost",
                f"{_DOCUMENTS}_failures.test_a_message_that_comes_twice_changes_nothing",
                f"{_DOCUMENTS}_failures.test_a_message_for_an_execution_that_has_ended_does_no_harm",
                f"{_DOCUMENTS}_failures.test_a_message_that_never_comes_is_not_waited_for_for_ever",
                f"{_DOCUMENTS}_failures.test_an_answer_for_an_execution_that_has_ended_is_told_to_the_reviewer",
            )
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_DOCUMENTS}_permissions.test_without_a_permission_of_a_role_the_document_fails_and_says_so",
                f"{_DOCUMENTS}_permissions.test_without_permission_to_start_the_event_is_kept",
                f"{_DOCUMENTS}_permissions.test_without_permission_to_publish_a_failure_is_in_its_row_all_the_same",
                f"{_DOCUMENTS}_permissions"
                ".test_without_permission_to_write_rows_somebody_is_told_which_document_failed",
                f"{_DOCUMENTS}_permissions"
                ".test_without_permission_to_count_a_review_that_waits_the_document_fails_and_says_so",
                f"{_DOCUMENTS}_permissions.test_without_permission_to_record_an_end_its_message_is_kept",
                f"{_DOCUMENTS}_permissions.test_without_permission_to_answer_a_message_is_kept",
                f"{_DOCUMENTS}_permissions.test_without_a_permission_of_the_page_the_reviewer_may_try_again",
            )
        ),
    },
    "call-analytics": {
        "duplicate-event": AnsweredBy((f"{_CALLS}.test_the_same_event_twice_is_one_execution_and_one_paid_job",)),
        "odd-key": AnsweredBy((f"{_CALLS}.test_a_key_is_read_and_stored_as_the_user_wrote_it",)),
        "corrupt-input": AnsweredBy(
            (
                f"{_CALLS_FAIL}.test_a_file_that_is_no_audio_is_rejected_with_a_reason",
                f"{_CALLS_FAIL}.test_audio_that_breaks_off_fails_by_its_job_and_says_so",
            )
        ),
        "oversized-input": AnsweredBy(
            (
                f"{_CALLS_FAIL}.test_a_turn_larger_than_a_service_takes_is_cut_and_put_together",
                f"{_CALLS}.test_a_large_call_is_translated_by_a_job",
            )
        ),
        "throttled-service": AnsweredBy((f"{_CALLS_FAIL}.test_a_throttled_service_is_retried_until_it_answers",)),
        "service-down-then-back": AnsweredBy(
            (
                f"{_CALLS_FAIL}.test_a_service_that_is_down_leaves_a_reason_and_the_call_can_be_started_again",
                f"{_CALLS_FAIL}.test_an_answer_that_is_lost_starts_no_second_job",
            )
        ),
        "poison-message": AnsweredBy(
            (
                f"{_CALLS_FAIL}.test_a_message_that_cannot_be_read_reaches_the_dlq_and_disturbs_no_other",
                f"{_CALLS_FAIL}.test_a_start_that_fails_is_kept_and_redriven",
            )
        ),
        "partial-batch": AnsweredBy(
            (f"{_CALLS_FAIL}.test_a_message_that_cannot_be_read_reaches_the_dlq_and_disturbs_no_other",)
        ),
        "asynchronous-job-failed": AnsweredBy(
            (
                f"{_CALLS_FAIL}.test_a_transcription_that_fails_is_recorded",
                f"{_CALLS_FAIL}.test_a_translation_that_fails_is_recorded",
            )
        ),
        "notification-late-or-twice": AnsweredBy(
            (
                f"{_CALLS}.test_the_end_of_a_job_may_be_heard_before_anybody_waits_for_it",
                f"{_CALLS}.test_the_end_of_a_job_may_be_heard_late_and_twice",
                f"{_CALLS}.test_a_job_of_whose_end_nobody_tells_is_asked_in_the_end",
                f"{_CALLS_FAIL}.test_an_end_of_a_job_that_is_not_taken_is_kept_and_redriven",
            )
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_CALLS_RIGHTS}.test_without_a_permission_of_a_role_the_call_fails_and_says_so",
                f"{_CALLS_RIGHTS}.test_without_permission_to_start_the_event_is_kept",
                f"{_CALLS_RIGHTS}.test_without_the_role_of_the_job_nothing_is_translated",
                f"{_CALLS_FAIL}.test_an_end_of_a_job_that_is_not_taken_is_kept_and_redriven",
            )
        ),
    },
    "training-pipeline": {
        "duplicate-event": AnsweredBy((f"{_TRAINED}.test_the_same_event_twice_is_one_execution",)),
        "odd-key": AnsweredBy((f"{_UNTRAINED}.test_a_bad_file_among_good_ones_is_named_as_its_owner_wrote_it",)),
        "corrupt-input": AnsweredBy(
            (
                f"{_UNTRAINED}.test_bad_data_fails_with_its_reason_which_is_told",
                f"{_UNTRAINED}.test_a_model_below_the_bar_is_told_as_such",
            )
        ),
        # What does not fit an instance's memory is killed there; what takes too long has a limit.
        "oversized-input": AnsweredBy(
            (f"{_UNTRAINED}.test_a_training_that_crashes_or_takes_too_long_fails_and_is_told",)
        ),
        "throttled-service": AnsweredBy((f"{_UNTRAINED}.test_a_throttled_service_is_tried_again_until_it_answers",)),
        "service-down-then-back": AnsweredBy(
            (
                f"{_UNTRAINED}.test_a_service_that_is_down_fails_with_its_reason_and_the_execution_goes_on_later",
                f"{_UNTRAINED}.test_a_training_that_cannot_be_started_is_told",
                f"{_UNTRAINED}.test_what_cannot_be_asked_is_told_all_the_same",
            )
        ),
        "poison-message": AnsweredBy(
            (
                f"{_UNTRAINED}.test_an_event_that_cannot_start_anything_is_kept_and_started_later",
                f"{_UNTRAINED}.test_bad_data_fails_with_its_reason_which_is_told",
            )
        ),
        "partial-batch": DoesNotApply(
            "All files become one model, so none is done by itself: a bad one fails the training, which names it"
            " (test_a_bad_file_among_good_ones_is_named_as_its_owner_wrote_it)"
        ),
        "asynchronous-job-failed": AnsweredBy(
            (
                f"{_UNTRAINED}.test_a_training_that_crashes_or_takes_too_long_fails_and_is_told",
                f"{_UNTRAINED}.test_a_job_that_fails_by_the_service_is_tried_again",
                f"{_UNTRAINED}.test_a_training_whose_spot_instance_is_taken_away_goes_on_from_its_checkpoint",
                f"{_UNTRAINED}.test_a_stopped_execution_stops_its_job_and_alarms_nobody",
            )
        ),
        "notification-late-or-twice": AnsweredBy(
            (f"{_UNTRAINED}.test_an_event_that_cannot_start_anything_is_kept_and_started_later",)
        ),
        "permission-removed": AnsweredBy(
            tuple(
                f"{_TRAINING_RIGHTS}.{name}"
                for name in (
                    "test_without_a_permission_the_step_that_needs_it_fails_and_says_so",
                    "test_a_bucket_of_somebody_else_is_not_read",
                    "test_without_its_log_permission_a_job_runs_in_silence",
                    "test_without_its_permission_a_training_is_not_measured",
                    "test_without_permission_to_stop_a_job_it_runs_on",
                    "test_without_a_permission_a_training_is_not_started_and_somebody_is_told",
                    "test_who_tells_and_may_not_ask_tells_what_is_known",
                    "test_without_permission_to_publish_a_failure_is_not_told",
                    "test_without_permission_to_have_it_told_a_failure_is_kept",
                    "test_without_the_policy_of_its_queue_an_event_that_starts_nothing_is_lost",
                    "test_without_a_permission_the_stack_is_not_deleted_and_says_why",
                )
            )
        ),
    },
    "realtime-endpoint": {
        "duplicate-event": AnsweredBy((f"{_SERVING_FAILS}.test_an_approval_that_is_told_twice_leaves_one_model",)),
        "odd-key": DoesNotApply("No user names an object: SageMaker and the training pipeline name all that is read."),
        "corrupt-input": AnsweredBy(
            (f"{_SERVING_FAILS}.test_a_bad_request_is_refused_with_its_reason_and_counts_as_the_callers_fault",)
        ),
        "oversized-input": AnsweredBy(
            (f"{_SERVING_FAILS}.test_a_bad_request_is_refused_with_its_reason_and_counts_as_the_callers_fault",)
        ),
        "throttled-service": AnsweredBy(
            (f"{_SERVING_FAILS}.test_a_throttled_service_is_asked_again_until_it_answers",)
        ),
        "service-down-then-back": AnsweredBy(
            (
                f"{_SERVING_FAILS}.test_a_service_that_stays_down_is_told_and_the_approval_can_be_repeated",
                f"{_SERVING_FAILS}.test_without_the_right_to_capture_requests_are_served_and_the_loss_is_logged",
            )
        ),
        "poison-message": AnsweredBy(
            (
                f"{_SERVING_FAILS}.test_an_approval_that_cannot_be_delivered_is_kept_and_redriven",
                f"{_SERVING_RIGHTS}.test_an_evening_that_cannot_be_told_is_kept",
            )
        ),
        "partial-batch": AnsweredBy(
            (f"{_SERVING_FAILS}.test_a_bad_request_is_refused_with_its_reason_and_counts_as_the_callers_fault",)
        ),
        "asynchronous-job-failed": AnsweredBy(
            (
                f"{_SERVING_FAILS}.test_a_model_that_fails_its_health_check_leaves_the_old_one_in_service",
                f"{_SERVING_FAILS}.test_an_endpoint_that_never_came_up_is_made_anew_by_the_next_approval",
                f"{_SERVING_FAILS}.test_an_alarm_takes_an_update_back_and_no_request_fails",
            )
        ),
        "notification-late-or-twice": AnsweredBy(
            (
                f"{_SERVES}.test_an_approval_that_was_taken_back_is_not_deployed",
                f"{_SERVING_FAILS}.test_an_older_version_that_is_approved_after_a_newer_one_serves",
                f"{_SERVING_FAILS}.test_an_approval_that_is_told_twice_leaves_one_model",
            )
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_SERVING_RIGHTS}.test_without_a_permission_of_its_role_a_deployment_says_so",
                f"{_SERVING_RIGHTS}.test_without_a_permission_for_what_comes_after_the_new_model_serves_all_the_same",
                f"{_SERVING_RIGHTS}.test_without_a_permission_of_the_models_role_the_model_before_serves",
                f"{_SERVING_RIGHTS}.test_without_a_permission_the_evening_fails_and_the_endpoint_serves",
                f"{_SERVES}.test_a_failure_is_told_and_leaves_the_old_model_in_service",
            )
        ),
    },
    "model-monitor": {
        "duplicate-event": AnsweredBy(
            (
                f"{_MONITOR_FAILS}.test_a_schedule_that_overlaps_itself_judges_each_hour_once",
                f"{_MONITOR}.test_an_hour_is_judged_once_however_often_it_is_asked_for",
            )
        ),
        "odd-key": DoesNotApply(
            "No key comes from outside: captures and reports lie where SageMaker and the stack put them, by the hour"
        ),
        "corrupt-input": AnsweredBy(
            (
                f"{_MONITOR_FAILS}.test_captures_that_cannot_be_read_are_counted_and_the_others_are_judged",
                f"{_MONITOR_FAILS}.test_missing_values_and_unknown_categories_and_other_answers_are_named",
                f"{_MONITOR_FAILS}.test_a_report_that_cannot_be_read_is_a_dead_letter_until_it_is_mended",
            )
        ),
        "oversized-input": DoesNotApply(
            "SageMaker writes the captures, of requests that the endpoint took; an hour that is too much for a job in"
            " its time is a job that failed"
        ),
        "throttled-service": AnsweredBy((f"{_MONITOR_FAILS}.test_a_throttled_service_is_asked_again",)),
        "service-down-then-back": AnsweredBy(
            (
                f"{_MONITOR_FAILS}.test_a_service_that_is_down_leaves_an_hour_that_can_be_redriven",
                f"{_MONITOR_FAILS}.test_a_function_killed_after_it_started_the_job_starts_no_second",
            )
        ),
        "poison-message": AnsweredBy(
            (
                f"{_MONITOR_FAILS}.test_a_call_that_means_no_time_is_a_dead_letter",
                f"{_MONITOR_FAILS}.test_a_report_that_cannot_be_read_is_a_dead_letter_until_it_is_mended",
                f"{_MONITOR_RIGHTS}.test_drift_that_may_start_no_training_is_a_dead_letter_that_starts_it_later",
            )
        ),
        "partial-batch": DoesNotApply(
            "Each call is for an hour and each event for a job; of an hour's captures only those that cannot be read"
            " are left out, as is shown under corrupt-input"
        ),
        "asynchronous-job-failed": AnsweredBy(
            (
                f"{_MONITOR_FAILS}.test_an_hour_whose_job_failed_is_judged_with_the_next",
                f"{_MONITOR_FAILS}.test_a_job_that_is_killed_leaves_its_reason_and_no_report",
                f"{_MONITOR_FAILS}.test_a_job_that_outlives_its_hour_does_not_keep_the_next_from_being_judged",
            )
        ),
        "notification-late-or-twice": AnsweredBy(
            (
                f"{_MONITOR_FAILS}.test_an_event_that_comes_twice_or_late_tells_the_same",
                f"{_MONITOR_FAILS}.test_labels_that_come_a_day_later_tell_that_answers_have_become_worse",
                f"{_MONITOR_FAILS}.test_the_answers_of_another_model_are_not_judged",
            )
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_MONITOR}.test_a_job_that_may_not_read_the_captures_fails_and_is_counted",
                f"{_MONITOR_RIGHTS}.test_without_any_permission_of_its_starter_an_hour_is_not_started_and_that_says_so",
                f"{_MONITOR_RIGHTS}.test_a_job_that_lost_a_permission_fails_and_is_counted_and_its_hour_is_judged_later",
                f"{_MONITOR_RIGHTS}.test_a_report_that_may_not_be_told_is_a_dead_letter",
                f"{_MONITOR_RIGHTS}.test_a_report_whose_function_lets_no_rule_in_is_a_dead_letter",
                f"{_MONITOR_RIGHTS}"
                ".test_a_schedule_that_may_not_call_leaves_a_dead_letter_and_the_next_hour_makes_up_for_it",
                f"{_MONITOR_RIGHTS}.test_drift_that_may_start_no_training_is_a_dead_letter_that_starts_it_later",
            )
        ),
    },
    "access-control": {
        "duplicate-event": DoesNotApply(f"{_NO_FLOW}; the same request twice is decided twice, alike"),
        "odd-key": DoesNotApply(f"{_NO_FLOW}; no name is read out of an event"),
        "corrupt-input": DoesNotApply(f"{_NO_FLOW}; a request that means nothing is the asked service's to refuse"),
        "oversized-input": DoesNotApply(f"{_NO_FLOW}; what a job may ask for is in the matrix"),
        "throttled-service": DoesNotApply(f"{_NO_FLOW}; who is throttled asks again"),
        "service-down-then-back": DoesNotApply(f"{_NO_FLOW}; IAM decides within each service"),
        "poison-message": DoesNotApply(f"{_NO_FLOW}; there is no queue"),
        "partial-batch": DoesNotApply(f"{_NO_FLOW}; there is no batch"),
        "asynchronous-job-failed": DoesNotApply(f"{_NO_FLOW}; jobs are SageMaker's, and end there"),
        "notification-late-or-twice": DoesNotApply(f"{_NO_FLOW}; nobody is notified"),
        "permission-removed": AnsweredBy(
            (
                f"{_ACCESS}.test_every_cell_is_decided_as_written_by_really_asking",
                f"{_ACCESS}.test_every_statement_taken_out_is_noticed",
                f"{_ACCESS}.test_without_its_denial_the_request_is_really_allowed",
            )
        ),
    },
    "private-network": {
        "duplicate-event": DoesNotApply(
            "Nothing here is started by an event: the proof is invoked, and each time it writes the same object and the"
            " same row"
        ),
        "odd-key": DoesNotApply("The proof writes and reads one object, under a key of its own that nobody chooses"),
        "corrupt-input": DoesNotApply(
            "A letter is any text; the network looks at who calls which operation on whose resource, not at its words"
        ),
        "oversized-input": AnsweredBy(
            (f"{_NETWORK}.test_a_letter_that_is_too_long_is_refused_before_anything_is_called",)
        ),
        "throttled-service": AnsweredBy(
            (f"{_NETWORK}.test_a_service_that_throttles_proves_nothing_and_the_other_calls_are_made",)
        ),
        "service-down-then-back": AnsweredBy(
            (
                f"{_NETWORK}.test_a_door_that_was_closed_and_opened_lets_through_again",
                f"{_NETWORK}.test_a_closed_door_is_no_way_and_the_others_stay_open",
                f"{_NETWORK}.test_a_gateway_is_reached_by_its_route",
            )
        ),
        "poison-message": DoesNotApply("There is no queue: who invokes the proof gets its answer, or its error"),
        "partial-batch": AnsweredBy(
            (f"{_NETWORK}.test_a_service_that_throttles_proves_nothing_and_the_other_calls_are_made",)
        ),
        "asynchronous-job-failed": DoesNotApply("Every call of the proof is answered within it: no job is started"),
        "notification-late-or-twice": DoesNotApply(
            "Nobody is notified of anything: the answer is the invocation's own"
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_NETWORK_RIGHTS}.test_without_a_permission_of_its_role_the_call_is_refused_and_comes_back",
                f"{_NETWORK_PLACED}.test_images_are_labelled_inside_and_only_through_rekognitions_door",
            )
        ),
    },
    "cost-guard": {
        "duplicate-event": AnsweredBy(
            (f"{_GUARD}.test_what_is_idle_is_stopped_and_nothing_else_and_the_topic_is_told",)
        ),
        "odd-key": DoesNotApply("SageMaker's names have letters, digits and hyphens; nothing else names a machine."),
        "corrupt-input": AnsweredBy((f"{_GUARD}.test_a_machine_whose_tags_cannot_be_read_is_left_alone_and_told",)),
        "oversized-input": DoesNotApply(
            "A run takes machines page by page and keeps their names alone; a tag has 256 characters at most."
        ),
        "throttled-service": AnsweredBy((f"{_GUARD}.test_a_throttled_service_is_asked_again",)),
        "service-down-then-back": AnsweredBy(
            (f"{_GUARD}.test_a_machine_that_cannot_be_stopped_does_not_keep_the_others",)
        ),
        "poison-message": AnsweredBy((f"{_GUARD}.test_a_call_that_the_schedule_may_not_make_is_a_dead_letter",)),
        "partial-batch": AnsweredBy((f"{_GUARD}.test_a_machine_that_cannot_be_stopped_does_not_keep_the_others",)),
        "asynchronous-job-failed": DoesNotApply("It starts no job."),
        "notification-late-or-twice": AnsweredBy(
            (
                f"{_GUARD}.test_what_is_idle_is_stopped_and_nothing_else_and_the_topic_is_told",
                f"{_GUARD}.test_a_look_with_an_old_time_stops_nobody_who_has_come_back",
                f"{_GUARD}.test_who_comes_back_while_a_run_waits_for_the_next_report_is_left_alone",
            )
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_GUARD}.test_without_a_permission_nothing_is_stopped_and_the_run_fails_and_once_it_is_back_it_goes_on",
                f"{_GUARD}.test_a_call_that_the_schedule_may_not_make_is_a_dead_letter",
            )
        ),
    },
    "secure-studio": {
        "duplicate-event": DoesNotApply(
            "Nothing is started by an event: people ask, and a report is written over the last"
        ),
        "odd-key": DoesNotApply("A grant covers a folder, and whatever its files are called"),
        "corrupt-input": AnsweredBy((f"{_STUDIO}.test_a_file_of_something_else_is_refused",)),
        "oversized-input": DoesNotApply("It takes no input: files go from notebooks to S3, which bounds them itself"),
        "throttled-service": AnsweredBy((f"{_STUDIO}.test_a_throttled_sagemaker_is_asked_again",)),
        "service-down-then-back": AnsweredBy(
            (f"{_STUDIO}.test_the_report_goes_through_the_networks_door_and_the_guard_stops_the_notebook",)
        ),
        "poison-message": DoesNotApply("There is no queue"),
        "partial-batch": DoesNotApply("Nothing comes in batches: each request is decided by itself"),
        "asynchronous-job-failed": DoesNotApply(
            "It starts no job; a script that fails keeps the notebook from starting"
        ),
        "notification-late-or-twice": DoesNotApply(
            "Nobody is notified: a late report is told from a fresh one by its time"
        ),
        "permission-removed": AnsweredBy(
            (
                f"{_STUDIO}.test_without_a_permission_her_work_is_refused_and_comes_back",
                f"{_STUDIO}.test_a_network_without_the_doors_fails_the_deployment_and_names_one",
            )
        ),
    },
    "audit": {
        "duplicate-event": DoesNotApply(
            "A record says twice what was done twice; an alarm that comes twice is true twice."
        ),
        "odd-key": DoesNotApply("Names are written into records as they were asked for; nothing is looked up by them."),
        "corrupt-input": DoesNotApply("Its input are calls that AWS itself has understood."),
        "oversized-input": DoesNotApply("CloudTrail leaves out of a record what is too long, and says so."),
        "throttled-service": AnsweredBy((f"{_AUDIT}.test_a_throttled_service_is_asked_again",)),
        "service-down-then-back": AnsweredBy(
            (f"{_AUDIT}.test_a_denial_without_its_condition_keeps_the_trail_out_too",)
        ),
        "poison-message": AnsweredBy((f"{_AUDIT}.test_an_alarm_that_cannot_be_told_is_a_dead_letter",)),
        "partial-batch": DoesNotApply("Nothing comes in batches: a file of records is delivered whole or later."),
        "asynchronous-job-failed": AnsweredBy((f"{_AUDIT}.test_a_rule_that_may_not_look_has_no_verdict_and_an_alarm",)),
        "notification-late-or-twice": DoesNotApply("A record has its time, and nothing depends on when it comes."),
        "permission-removed": AnsweredBy(
            (
                f"{_AUDIT}.test_a_rule_that_may_not_look_has_no_verdict_and_an_alarm",
                f"{_AUDIT}.test_a_denial_without_its_condition_keeps_the_trail_out_too",
                f"{_AUDIT}.test_without_the_keys_permission_the_trail_waits",
                f"{_AUDIT}.test_an_alarm_that_cannot_be_told_is_a_dead_letter",
            )
        ),
    },
}
