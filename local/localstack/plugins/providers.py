"""The project's services as LocalStack's providers: each request is handed on as it came, each answer taken as it is.

LocalStack finds the service and the operation of a request, and who signed it; it enforces no permission.
"""

import threading
from typing import Any
from urllib.parse import urlencode

from localstack.aws.api import RequestContext, ServiceRequest
from localstack.aws.skeleton import Skeleton
from localstack.aws.spec import load_service
from localstack.http import Response
from localstack.services.moto import _proxy_moto
from localstack.services.plugins import Service, aws_provider
from localstack.utils.aws.request_context import extract_access_key_id_from_auth_header

from local.localstack import plugins
from local.localstack.plugins import asking

# What a service reads of a request's own headers: an invocation of an endpoint has them.
_HANDED_ON = ("accept", "content-type", "x-amzn-sagemaker-")


def _handed_on(context: RequestContext, _request: ServiceRequest) -> Any:
    """The answer of the project's service, from the process that holds it."""
    request = context.request
    given = {name: value for name, value in request.headers.items() if name.lower().startswith(_HANDED_ON)}
    answer = asking.ask(
        f"service/{context.service.service_name}/{context.operation.name}",
        params={"path": request.path, "query": urlencode(list(request.args.items(multi=True)))},
        data=request.data,
        headers={
            **given,
            "x-local-access-key": extract_access_key_id_from_auth_header(request.headers) or "",
            "x-local-account": context.account_id,
            "x-local-region": context.region,
        },
    )
    kept = {name: value for name, value in answer.headers.items() if name.lower().startswith(("content-type", "x-amz"))}
    return Response(answer.content, status=answer.status_code, headers=kept)


def _mounted(api: str) -> Any:
    def service() -> Service:
        model = load_service(api)
        return Service(api, skeleton=Skeleton(model, dict.fromkeys(model.operation_names, _handed_on)))

    service.__name__ = plugins.name_of(api)
    return aws_provider(api=api, name="mounted")(service)


globals().update({plugins.name_of(api): _mounted(api) for api in plugins.MOUNTED})


# moto changes an item in several steps, and looks at a condition in another: in DynamoDB nobody sees what is between.
_one_at_a_time = threading.Lock()


def _alone(context: RequestContext, request: ServiceRequest) -> Any:
    with _one_at_a_time:
        return _proxy_moto(context, request)


@aws_provider(api="dynamodb", name="moto")
def dynamodb() -> Service:
    """DynamoDB by moto, in this process, one request after another: LocalStack's own fetches a Java program."""
    model = load_service("dynamodb")
    return Service("dynamodb", skeleton=Skeleton(model, dict.fromkeys(model.operation_names, _alone)))
