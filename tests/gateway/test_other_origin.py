"""A page of another origin in a real browser: it asks with a key, by the script of docs/serving.md."""

import base64
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from selenium import webdriver

from tests.faults.garbage import noise
from tests.gateway.servers import Served, serving
from tests.images import file_of
from zoo.study import ROOT

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.server,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"),
]
ASK = """
const [key, picture, done] = [arguments[0], arguments[1], arguments[2]];
const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
classify(new File([bytes], "mole.png", {type: "image/png"}), key)
  .then((probabilities) => done({probabilities}), (error) => done({error: String(error)}));
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page elsewhere, with the documented script; the gateway's address is put in by the test."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>elsewhere</title>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, page_url: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("gateway"), "local", (page_url,)) as served:
        yield served


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"):
        options.add_argument(argument)
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as driver:
        yield driver


def ask(browser: webdriver.Chrome, page: str, served: Served, key: str, picture: bytes) -> dict[str, Any]:
    [script] = re.findall(r"```javascript\n(.*?)```", (ROOT / "docs" / "serving.md").read_text(), re.DOTALL)
    browser.get(page)
    browser.execute_script(f"window.classify = {script.replace('http://127.0.0.1:8000', served.url)}")
    answer: dict[str, Any] = browser.execute_async_script(ASK, key, base64.b64encode(picture).decode())
    return answer


def test_a_page_asks_with_a_key(browser: webdriver.Chrome, page_url: str, served: Served) -> None:
    answer = ask(browser, page_url, served, served.key, file_of(noise()))
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert "not an image of a supported format" in ask(browser, page_url, served, served.key, b"hello")["error"]


def test_it_is_refused_without_one_and_can_read_why(browser: webdriver.Chrome, page_url: str, served: Served) -> None:
    assert "key" in ask(browser, page_url, served, "zoo_wrong", file_of(noise()))["error"]


def test_a_page_of_no_allowed_origin_gets_nothing(browser: webdriver.Chrome, page_url: str, served: Served) -> None:
    elsewhere = page_url.replace("127.0.0.1", "localhost")
    assert "Failed to fetch" in ask(browser, elsewhere, served, served.key, file_of(noise()))["error"]
