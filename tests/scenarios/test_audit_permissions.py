"""What audit is granted, and what it does with it.

In a file of its own: an account has one recorder, and the proof wants a stack of which nobody has taken anything away.
"""

from __future__ import annotations

import os

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Status, compare, granted
from scenarios import audit
from scenarios.audit import listening
from tests.local.emulated import last_sequence
from tests.local.sagemaking import job_role, make_bucket, of_bucket, processing, training

ARCHITECTURE = "audit"


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(cloud: LocalCloud) -> None:
    # Given a job of each kind, for the rule to judge
    bucket, sagemaker = make_bucket(cloud), cloud.client("sagemaker")
    sagemaker.create_processing_job(**processing(cloud, bucket, "pass"))
    sagemaker.create_training_job(**training(job_role(cloud, *of_bucket(bucket)), bucket))
    # When a copy of the stack is deployed, driven and destroyed
    name = f"audited-{os.getpid()}"
    since = last_sequence(cloud)
    try:
        outputs = deploy(cloud, synthesize(ARCHITECTURE), name, artifact=ARCHITECTURE)
        with listening(cloud, outputs["TopicArn"]):
            done = audit.run(cloud, outputs)
        assert done.complete, done
        assert done.verdict == "NON_COMPLIANT"
        # What a question of Athena would leave; none is answered here.
        cloud.client("s3").put_object(Bucket=outputs["AnswersName"], Key="answer.csv", Body=b"when,who")
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
    finally:
        destroy(cloud, name)
    report = compare(grants, cloud.control.decisions(since=since), architecture=ARCHITECTURE)
    # Then nothing was refused but on purpose, and every grant was used or is acknowledged
    assert report.problems == (), "\n".join(report.problems)
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    assert any(role.startswith("JudgeJobs") for role in used), used
