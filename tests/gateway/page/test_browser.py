"""The page in a real browser, of a gateway before a real server."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from gateway.log import FILE
from gateway.page import sign_in
from tests.faults.garbage import noise
from tests.gateway.servers import Served, serving
from tests.images import file_of

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.server,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"),
]
SECONDS = 60
PASTE = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const clipboardData = new DataTransfer();
clipboardData.items.add(new File([bytes], "pasted.png", {type: "image/png"}));
document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
"""


class Page:
    """A browser that has signed in."""

    def __init__(self, driver: webdriver.Chrome, link: str) -> None:
        self.driver = driver
        driver.get(link)
        self.all("#versions input")

    def all(self, css: str) -> list[WebElement]:
        """The elements, once there are some."""
        found: list[WebElement] = self.wait(lambda driver: driver.find_elements(By.CSS_SELECTOR, css))
        return found

    def wait(self, condition: Callable[[Any], Any]) -> Any:
        return WebDriverWait(self.driver, SECONDS).until(condition)

    def click(self, css: str, text: str) -> None:
        [element] = [element for element in self.all(css) if element.text == text]
        element.click()

    def upload(self, file: Path) -> None:
        self.all("#picture-file")[0].send_keys(str(file))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("page"), "local") as served:
        yield served


@pytest.fixture(params=[1280, 380])
def page(served: Served, request: pytest.FixtureRequest) -> Iterator[Page]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as driver:
        size = {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": request.param < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield Page(driver, sign_in.link(served.settings.folder, served.settings.port))
        log: Any = driver.get_log
        urls = [
            message["params"]["request"]["url"]
            for message in (json.loads(line["message"])["message"] for line in log("performance"))
            if message["method"] == "Network.requestWillBeSent"
        ]
        assert len(urls) > 10
        assert [url for url in urls if not url.startswith((served.url, "data:", "blob:"))] == [], (
            "nothing from elsewhere"
        )
        assert [line["message"] for line in log("browser") if line["level"] == "SEVERE"] == []
        assert driver.execute_script("return document.documentElement.scrollWidth") <= request.param


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "mole.png"
    file.write_bytes(file_of(noise()))
    return file


def test_a_picture(page: Page, picture: Path) -> None:
    page.upload(picture)
    assert len(page.all("#answers .bars li")) == 7
    assert "melanoma (mel)" in page.all("#answers")[0].text
    assert "not for diagnosis" in page.all("#answers .notice")[0].text
    [overlay] = page.all("#overlay img")
    assert page.driver.execute_script("return arguments[0].naturalWidth", overlay) > 0
    [preview] = page.all("#picture img")
    assert page.driver.execute_script("return arguments[0].naturalWidth", preview) > 0


def test_a_file_that_is_no_picture(page: Page, tmp_path: Path, picture: Path) -> None:
    file = tmp_path / "letter.jpg"
    file.write_text("Dear zoo")
    page.upload(file)
    assert "image" in page.all("#problem [role=alert]")[0].text
    page.upload(picture)
    page.all("#answers .bars")
    assert page.driver.find_elements(By.CSS_SELECTOR, "#problem [role=alert]") == []


def test_a_large_file(page: Page, served: Served, tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    file.write_bytes(b"x" * (served.settings.max_request_bytes + 1))
    page.upload(file)
    assert "at most 1000000" in page.all("#picture [role=alert]")[0].text


def test_pasting(page: Page, picture: Path) -> None:
    page.driver.execute_script(PASTE, base64.b64encode(picture.read_bytes()).decode())
    page.all("#answers .bars")


def test_synthetic_lesions(page: Page) -> None:
    page.click("button[role=tab]", "Synthesize")
    page.click("button", "Draw")
    [grid] = page.all("#grid img")
    assert page.driver.execute_script("return arguments[0].naturalWidth", grid) > 0
    assert "not for diagnosis" in page.all("#grid .notice")[0].text


def test_model_cards(page: Page) -> None:
    page.click("button[role=tab]", "Model cards")
    assert page.all("#card h1")[0].text.startswith("Model card")


def test_the_keyboard_reaches_all(page: Page, picture: Path) -> None:
    page.upload(picture)
    page.all("#answers .bars")
    reached = []
    for _ in range(20):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        active = page.driver.switch_to.active_element
        reached.append(active.get_attribute("id") or active.get_attribute("role") or active.get_attribute("type"))
        if reached[-1] == "checkbox" and reached.count("checkbox") == 1:
            ActionChains(page.driver).send_keys(Keys.SPACE).perform()
    assert {"picture-file", "checkbox", "combobox", "tab"} <= set(reached)
    page.wait(lambda driver: not driver.find_elements(By.CSS_SELECTOR, "#answers .bars"))


def test_the_token_is_in_no_log(page: Page, served: Served) -> None:
    folder = served.settings.folder
    token = (folder / sign_in.FILE).read_text()
    assert "GET" in (folder / FILE).read_text()
    assert page.driver.current_url == f"{served.url}/"
    logs = [file for file in folder.rglob("*") if file.is_file() and file.name != sign_in.FILE]
    assert [file.name for file in logs if token in file.read_text(errors="replace")] == []
