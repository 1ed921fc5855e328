"""Clients that call as a role of a deployed stack. Only AWS APIs, so it works the same on every cloud."""

from __future__ import annotations

from typing import Any

from scenarios.cloud import Cloud


def client_as(cloud: Cloud, role_arn: str, service: str, *, region: str | None = None, **config: Any) -> Any:
    """A client of a session of the role, one attempt a call; `config` goes to botocore's Config.

    `region` is another than the cloud's; an endpoint in AWS's own domain is then left to botocore.

    It calls where the cloud's own client of the service does. Raises botocore's ClientError where the role cannot be
    taken on.
    """
    import boto3
    from botocore.config import Config

    answer = cloud.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="scenario")
    session = answer["Credentials"]
    # boto3's stubs know one signature a service; the service is a variable here.
    make: Any = boto3.client
    endpoint = cloud.client(service).meta.endpoint_url
    elsewhere = region is not None and ".amazonaws.com" in endpoint
    return make(
        service,
        endpoint_url=None if elsewhere else endpoint,
        region_name=region or cloud.region,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
        verify=str(cloud.ca_bundle) if cloud.ca_bundle else None,
        config=Config(
            **{
                "retries": {"total_max_attempts": 1},
                "signature_version": "s3v4" if service == "s3" else None,
                "s3": {"addressing_style": "path"},
                "proxies": {},
                **config,
            }
        ),
    )
