"""Between TorchServe and a service of the zoo. Copied into archives."""

from pathlib import Path
from typing import Any

from zoo.models.session import read_archive
from zoo.serving.service import PNG, REASONS, Call, Service


def contents(context: Any) -> tuple[dict[str, Any], bytes | Path]:
    """The `entry.json` and the model of the archive that TorchServe unpacked.

    Raises `zoo.models.session.ModelError` where they do not belong together; TorchServe writes it into model_log.log.
    """
    return read_archive(Path(context.system_properties["model_dir"]))


def answer(service: Service, data: list[dict[str, Any]], context: Any) -> list[Any]:
    """Answer a batch: `data` holds a dict a request, its body under "body", or each form field under its own name.

    Each request's own headers say whether it asks for an explanation, or what the version is: `entry.json`.
    """
    answers: list[Any] = [service.entry] * len(data)
    calls: dict[int, Call] = {}
    for index, fields in enumerate(data):
        headers = {name.lower(): value for name, value in context.get_all_request_header(index).items()}
        context.set_response_content_type(index, "application/json")
        if headers.get("describe") != "True":
            calls[index] = Call(fields, headers, headers.get("explain") == "True")
    for index, (status, body, png) in zip(calls, service.answer(list(calls.values())), strict=True):
        answers[index] = body if png is None else png
        if png is not None:
            context.set_response_content_type(index, PNG)
        if status != 200:
            context.set_response_status(status, REASONS[status], index)
    return answers
