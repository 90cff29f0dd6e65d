"""Both handlers, in process, against thousands of requests that are wrong: each is answered, and soon."""

import json
import re
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesions.images import SECONDS
from tests.faults.bombs import BOMBS
from tests.faults.conftest import Reliability
from tests.faults.garbage import BODIES, JSON, KINDS, VALUES, noise, pictures
from tests.faults.small_zoo import Handler, ask, loaded
from tests.images import file_of

pytestmark = pytest.mark.thorough

Request = tuple[dict[str, Any], dict[str, Any]]

BATCHES = 1_500
"""Of each handler; a batch has one bad request or more, and a good one."""

INSIDE = re.compile(r"Traceback|\.py\b|0x[0-9a-f]{8,}|site-packages|java\.|<_io")
"""What a caller has no business to see."""

HEADERS = st.fixed_dictionaries({"Content-Type": KINDS, "explain": st.sampled_from(["True", "False"])})
FIELDS = st.sampled_from(["image", "class", "note", "größe", "body", "explain"])


@st.composite
def forms(draw: st.DrawFn) -> Request:
    """A multipart form as TorchServe takes it to pieces: each field has a content type of its own, or none."""
    fields = draw(st.dictionaries(FIELDS, pictures() | st.binary(max_size=9) | VALUES, max_size=4))
    kinds = {name: {"content-type": draw(st.sampled_from(["", "image/png", "application/json"]))} for name in fields}
    own = {"Content-Type": "multipart/form-data; boundary=x", "explain": draw(st.sampled_from(["True", "False"]))}
    return {
        name: bytearray(value) if isinstance(value, bytes) else value for name, value in fields.items()
    }, kinds | own


def _body(content: object, headers: dict[str, str]) -> Request:
    return {"body": bytearray(content) if isinstance(content, bytes) else content}, headers


REQUESTS: st.SearchStrategy[Request] = (
    st.builds(_body, BODIES | JSON, HEADERS) | forms() | st.tuples(st.just({}), HEADERS)
)

GOOD: dict[str, Request] = {
    "classifier": ({"body": bytearray(file_of(noise()))}, {"Content-Type": "image/png"}),
    "generator": ({"body": {"class": "mel", "count": 2, "seed": 7}}, {"Content-Type": "application/json"}),
}


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Handler]:
    return {kind: loaded(kind, tmp_path_factory.mktemp(kind)) for kind in GOOD}


def decent(code: int, answer: dict[str, Any]) -> None:
    """An answer for people: of a status that is promised, in JSON, with a reason and nothing of the inside."""
    output = json.dumps(answer, allow_nan=False)
    assert code in {200, 400, 413}, output
    assert not INSIDE.search(output), output
    if code != 200:
        assert answer["code"] == code
        assert 0 < len(answer["message"]) < 700
        assert answer["type"].isalpha()


@pytest.mark.parametrize("kind", GOOD)
def test_garbage_is_answered_and_does_no_harm_to_its_batch(
    kind: str, handlers: dict[str, Handler], reliability: Reliability
) -> None:
    row = reliability.row(
        f"random bytes, random JSON, damaged JPEG, PNG, WebP, TIFF, BMP and GIF for the {kind}'s handler",
        "a 200, or a 400 or 413 with the reason; the right answer for a good request in the same batch",
    )
    handler, good = handlers[kind], GOOD[kind]
    [wanted] = ask(handler, good)
    assert wanted[0] == 200
    seen: Counter[int] = Counter()

    @settings(max_examples=BATCHES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(REQUESTS, min_size=1, max_size=4))
    def answered(requests: list[Request]) -> None:
        *answers, (code, right) = ask(handler, *requests, good)
        assert len(answers) == len(requests)
        for status, answer in answers:
            decent(status, answer)
            seen[status] += 1
        assert code == 200
        if kind == "generator":
            assert right == wanted[1]
        else:  # a batch of another size may round differently
            assert right["probabilities"] == pytest.approx(wanted[1]["probabilities"], abs=1e-4)

    answered()
    row.tried = sum(seen.values())
    row.seen = ", ".join(f"{seen[status]} x {status}" for status in sorted(seen))
    assert row.tried >= 2_500
    assert set(seen) >= {200, 400}  # what is all refused proves little


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_answered_in_time(name: str, handlers: dict[str, Handler], reliability: Reliability) -> None:
    make, codes = BOMBS[name]
    row = reliability.row(name, f"an answer within {SECONDS} seconds of processor time, or little more")
    content = make()
    began = time.process_time()
    [(code, answer)] = ask(handlers["classifier"], ({"body": bytearray(content)}, {"Content-Type": "image/png"}))
    seconds = time.process_time() - began
    row.tried, row.seen = 1, f"{code} in {seconds:.1f} s ({len(content) / 1e6:.1f} MB)"
    decent(code, answer)
    assert code in codes, answer
    assert seconds < SECONDS + 2
