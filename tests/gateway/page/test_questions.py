import asyncio
import base64
import json
import zipfile

import pytest

from gateway.backend import Reply
from gateway.page.questions import Questions
from lesions.labels import CLASSES, NOTICE
from tests.gateway.calls import PICTURE, Front
from zoo.serving.request import parse
from zoo.serving.rest import forms


def url(content: bytes = PICTURE) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


@pytest.fixture
def questions(front: Front) -> Questions:
    return Questions(front.gateway)


def reply(**body: object) -> Reply:
    return Reply(200, "application/json", json.dumps(body | {"notice": NOTICE}).encode())


def test_versions_side_by_side(front: Front, questions: Questions) -> None:
    problem, answers = asyncio.run(questions.classify(url(), ["baseline", "transfer"]))
    assert problem == ""
    assert [asked.body for asked in front.runtime.asked] == [PICTURE, PICTURE]
    assert answers.count("<article>") == answers.count(NOTICE) == 2
    assert answers.count("answers by default") == 1
    assert answers.count("melanoma (mel)") >= 2


@pytest.mark.parametrize(
    ("sent", "versions", "message"),
    [
        (url(b"damaged"), ["baseline"], "the image is damaged"),
        (url(), ["<b>"], "&lt;b&gt;&#39; is not served"),
        (url(), ["../../etc"], "is not served"),
        ("data:image/png;base64,???", ["baseline"], "the browser sent no picture"),
        ({"a": 1}, ["baseline"], "the browser sent no picture"),
    ],
)
def test_what_cannot_be_answered(questions: Questions, sent: object, versions: list[str], message: str) -> None:
    problem, answers = asyncio.run(questions.classify(sent, versions))
    assert 'role="alert"' in problem
    assert message in problem
    assert answers == ""


def test_explanations(front: Front, questions: Questions) -> None:
    front.runtime.reply = reply(**{"class": "mel", "overlay": "AAAA", "blank": False})
    html = asyncio.run(questions.explain(url(), "transfer", "mel"))
    assert 'src="data:image/png;base64,AAAA"' in html
    assert "Where transfer sees melanoma (mel)" in html
    assert NOTICE in html
    asked = front.runtime.asked[-1]
    call = forms.parse(asked.body, {"content-type": asked.content_type}, explain=True)
    assert parse(call.fields, call.headers).label == "mel"
    front.runtime.reply = reply(**{"class": "mel", "overlay": "AAAA", "blank": True})
    assert "so there are no colors" in asyncio.run(questions.explain(url(), "transfer", ""))
    front.runtime.reply = Reply(501, "application/json", b'{"message": "transfer cannot explain"}')
    assert "cannot explain; choose another version" in asyncio.run(questions.explain(url(), "transfer", ""))
    assert "is not served" in asyncio.run(questions.explain(url(), "../x", ""))


def test_synthesis(front: Front, questions: Questions) -> None:
    front.runtime.reply = reply(**{"class": "df", "count": 4, "seed": 7, "image": "AAAA"})
    html = asyncio.run(questions.synthesize("sagan", "df", 4, 7))
    assert 'alt="4 synthetic images of dermatofibroma (df)"' in html
    assert NOTICE in html
    assert json.loads(front.runtime.asked[-1].body) == {"class": "df", "count": 4, "seed": 7, "format": "grid"}
    front.runtime.reply = Reply(400, "application/json", b'{"message": "count is null"}')
    assert "count is null" in asyncio.run(questions.synthesize("sagan", "df", None, 7))
    assert "make zoo" in asyncio.run(questions.synthesize(None, "df", 4, 7))


def test_cards(front: Front, questions: Questions) -> None:
    store = front.gateway.settings.archives
    store.mkdir()
    with zipfile.ZipFile(store / "transfer.mar", "w") as archive:
        archive.writestr("MODEL_CARD.md", "# Model card: transfer")
    assert asyncio.run(questions.card("transfer")) == "# Model card: transfer"
    assert "has no card" in asyncio.run(questions.card("baseline"))
    for other in ("../store/transfer", None, ["transfer"], 7):
        assert asyncio.run(questions.card(other)) == ""


def test_a_runtime_that_does_not_answer(front: Front, questions: Questions) -> None:
    front.runtime.dead = True
    assert asyncio.run(questions.served()) == ([], [])
    for html in (
        asyncio.run(questions.classify(url(), ["baseline"]))[0],
        asyncio.run(questions.explain(url(), "baseline", "")),
        asyncio.run(questions.synthesize("sagan", "mel", 1, 7)),
    ):
        assert "does not answer" in html


def test_nothing_is_asked_without_a_picture(front: Front, questions: Questions) -> None:
    assert asyncio.run(questions.classify(None, list(CLASSES))) == ("", "")
    assert asyncio.run(questions.explain(None, "baseline", "")) == ""
    assert front.runtime.asked == []
