"""The AWS account of the shell's credentials, as boto3 finds them (AWS_PROFILE and the like); its refusals in words.

`AWS_ENDPOINT_URL` leads elsewhere, as in every AWS tool; the tests lead it to the local cloud.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config

from scenarios.cloud import behind

# How AWS says that keys have run out, or are none: AWS's lists of common errors, and what SSO and STS answer. Read in
# botocore's service models and from memory, 2026-11-28.
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
INVALID = {
    "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthFailure",
    "InvalidSignatureException",
}  # fmt: skip
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}


class AccountError(Exception):
    """The account cannot be used as it was asked for. `str()` is one line with the mend."""


class RefusedError(AccountError):
    """The account does not let these credentials do it."""


class Account:
    """An account in one region, and whose credentials they are. A scenario's `Cloud`."""

    def __init__(self, session: boto3.Session, region: str) -> None:
        """Asks AWS whose credentials these are. Raises AccountError."""
        self._session = session
        self.region = region
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL") or None
        with plain_errors("Asking whose credentials these are"):
            identity = self.client("sts").get_caller_identity()
        self.number = str(identity["Account"])
        self.identity = str(identity["Arn"])

    def elsewhere(self, region: str) -> Account:
        """The same account in another region; nobody is asked for it."""
        other = copy.copy(self)
        other.region = region
        return other

    @property
    def name(self) -> str:
        return f"account {self.number}"

    @property
    def ca_bundle(self) -> str | None:
        return os.environ.get("AWS_CA_BUNDLE") or None

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client with these credentials. `config` goes to botocore's Config."""
        settings: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": 4}, "connect_timeout": 10}
        if self.endpoint:
            # A bucket's name before an endpoint's is for AWS's own domain.
            settings["s3"] = {"addressing_style": "path"}
        # boto3's stubs know each service by name; here it is a variable.
        make: Any = self._session.client
        return make(service, region_name=self.region, config=Config(**{**settings, **config}))

    def reachable(self, url: str) -> str:
        """The address as it is; with an endpoint of one's own, the one behind it at which an API answers."""
        return behind(self.endpoint, url) if self.endpoint else url


def connect() -> Account:
    """The account of the shell's credentials. Raises AccountError where there are none, or no region."""
    with plain_errors("Reading the AWS settings of this shell"):
        session = boto3.Session()
        # botocore knows the one name, the CDK and most other tools the other.
        region = os.environ.get("AWS_REGION") or session.region_name
        if not region:
            raise AccountError("No region is set: export AWS_REGION=us-east-1, or whichever you mean.")
        if session.get_credentials() is None:
            raise exceptions.NoCredentialsError
        return Account(session, region)


@contextlib.contextmanager
def plain_errors(doing: str) -> Iterator[None]:
    """Turns what boto3 raises into AccountError, RefusedError where it is a lack of permission."""
    try:
        yield
    except exceptions.ClientError as error:
        raise _of_answer(doing, error) from error
    except exceptions.BotoCoreError as error:
        raise AccountError(_of_library(doing, error)) from error


def _of_answer(doing: str, error: exceptions.ClientError) -> AccountError:
    answer = error.response.get("Error", {})
    code, said = str(answer.get("Code", "unknown")), " ".join(str(answer.get("Message", "")).split())
    if code in EXPIRED:
        return AccountError(f"The AWS credentials have expired: sign in again ({_signing_in()}).")
    if code in INVALID:
        # AWS General Reference, "Managing AWS Regions" (regions that have to be enabled), from memory.
        return AccountError(
            f"AWS does not know these credentials ({code}): look at AWS_PROFILE, or {_signing_in()}. It says the same"
            " in a region that the account has not enabled."
        )
    if code in DENIED:
        return RefusedError(
            f"{doing}: these credentials may not call {error.operation_name}. Use a role of the account that may"
            f" ({said or code})."
        )
    return AccountError(f"{doing} failed: {error.operation_name}: {code}: {said}")


def _of_library(doing: str, error: exceptions.BotoCoreError) -> str:
    said = " ".join(str(error).split())
    for kinds, text in (
        (exceptions.NoCredentialsError, f"There are no AWS credentials in this shell: {_signing_in()}."),
        (
            exceptions.PartialCredentialsError,
            "A part of the AWS credentials is missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.",
        ),
        (exceptions.ProfileNotFound, f"{said}. `aws configure list-profiles` names those that there are."),
        ((exceptions.SSOError, exceptions.TokenRetrievalError), f"The sign-in has expired: {_signing_in()}."),
        (
            exceptions.SSLError,
            f"{doing}: the certificate is not trusted ({said}). If a proxy is in between, set AWS_CA_BUNDLE.",
        ),
        (
            (exceptions.ConnectionError, exceptions.HTTPClientError),
            f"{doing}: {os.environ.get('AWS_ENDPOINT_URL') or 'AWS'} does not answer ({said}). Is this machine online,"
            " and the region's name right?",
        ),
    ):
        if isinstance(error, kinds):
            return text
    return f"{doing} failed: {said}"


def _signing_in() -> str:
    profile = os.environ.get("AWS_PROFILE")
    return (
        f"aws sso login --profile {profile}"
        if profile
        else "export AWS_PROFILE=..., and aws sso login if it wants that"
    )
