"""Keep models unchangeable: the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.leftovers import SECOND_REGION
from sandbox.plan import REGION_OUTPUT, REGION_SETTING
from stacks.operate.model_vault import LINEAGE, ModelVaultSettings
from stacks.policy.template import Template, read, statements


@pytest.fixture(scope="module")
def vault(assemblies: dict[str, Path]) -> Template:
    return next(one for one in read(assemblies["aws"]) if one.architecture == "model-vault")


def test_the_vault_locks_and_copies_what_is_put_into_it(vault: Template) -> None:
    # Given the bucket of the artifacts, When it is read
    properties = next(one["Properties"] for name, one in vault.resources("AWS::S3::Bucket") if name.startswith("Vault"))
    # Then it locks by default, in governance mode, for the days of the setting
    assert properties["ObjectLockEnabled"] is True
    assert properties["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 1}
    # and copies everything but markers of deletion, under the other region's key
    (rule,) = properties["ReplicationConfiguration"]["Rules"]
    assert rule["DeleteMarkerReplication"] == {"Status": "Disabled"}
    assert rule["SourceSelectionCriteria"] == {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    assert rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"]["Fn::GetAtt"][0] == "ReplicaBucket"
    # and says who asked for what, and nothing in it expires
    assert properties["LoggingConfiguration"]["LogFilePrefix"] == "vault/"
    assert not any("ExpirationInDays" in one for one in properties["LifecycleConfiguration"]["Rules"])


def test_only_functions_that_cloudformation_calls_may_unlock(vault: Template) -> None:
    # Given all grants, When they are read, Then unlocking is granted to two functions, and to no role that people take
    unlocking = {
        one.logical_id for one in statements(vault) if one.allows and "s3:BypassGovernanceRetention" in one.actions
    }
    assert sorted(name.partition("Role")[0] for name in unlocking) == ["EmptiedVaultWorker", "Replica"]
    # and each lineage tag is asked for
    asked = {key for one in statements(vault) if not one.allows for key in one.body["Condition"].get("Null", {})}
    assert asked == {f"s3:RequestObjectTag/{tag}" for tag in LINEAGE}


def test_a_sandbox_looks_for_what_is_left_where_the_copies_lie(vault: Template) -> None:
    # Given the region of the copies by default, Then that is where leftovers are looked for, and what the plan reads
    assert SECOND_REGION["model-vault"] == ModelVaultSettings().replica_region
    assert vault.body["Outputs"][REGION_OUTPUT]["Value"] == ModelVaultSettings().replica_region
    assert REGION_SETTING in ModelVaultSettings.model_fields


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"retention_days": 0}, "retention_days"),
        ({"replica_region": "west"}, "replica_region"),
        ({"minimum_tls": "1.1"}, "minimum_tls"),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused(values: dict[str, Any], fault: str) -> None:
    # Given a value out of bounds, When the settings are made, Then it is refused by name
    with pytest.raises(ValidationError, match=fault):
        ModelVaultSettings.model_validate(values)
