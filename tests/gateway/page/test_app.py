import os
from typing import Any

from gradio.routes import App
from starlette.testclient import TestClient

from gateway.page.app import build
from tests.gateway.calls import Front
from tests.gateway.page.test_questions import url


def test_nothing_is_remembered_of_a_visitor(front: Front) -> None:
    outer: Any = build(front.gateway)
    [app] = [route.app for route in outer.routes if isinstance(getattr(route, "app", None), App)]
    [call] = [fn for fn in app.blocks.fns.values() if fn.name == "classify"]
    body = {"data": [url(), ["baseline"]], "fn_index": call._id, "session_hash": "visitor"}
    answer = TestClient(outer).post("/gradio_api/run/predict", json=body)
    assert answer.status_code == 200, answer.text
    assert "melanoma (mel)" in answer.json()["data"][1]
    assert app.state_holder.session_data == {}
    assert [block.value for block in call.inputs] == [None, []]
    assert url() not in TestClient(outer).get("/").text


def test_nothing_is_reported(front: Front) -> None:
    build(front.gateway)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
