"""The review page in a real browser: what a reviewer sees, can reach with the keyboard, and sends."""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from PIL import Image

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from scenarios.document_processing import Desk, Review, findings
from tests.browser import chromium
from tests.conftest import SharedStacks
from tests.scenarios.clerk import ARCHITECTURE, SMALL, Clerk
from tests.scenarios.papers import HEIGHT, STEP, TOP, VALUE_LEFT, WIDTH, png

pytestmark = pytest.mark.browser

FORM: Mapping[str, str] = {"Patient": "Mary Lee", "City": "Boston"}
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = (390, 844)


@pytest.fixture(scope="module")
def outputs(shared_stacks: SharedStacks) -> dict[str, str]:
    """The shared stack: it asks about a form without a policy number."""
    return shared_stacks(ARCHITECTURE, SMALL)


@pytest.fixture
def clerk(cloud: LocalCloud, outputs: dict[str, str]) -> Iterator[Clerk]:
    with Desk(cloud, outputs) as desk:
        yield Clerk(cloud, outputs, desk)


def trusted_key(cloud: LocalCloud) -> str:
    """The hash of the public key in the cloud's certificate, as Chromium takes it.

    Only a certificate of that key is trusted beside the ones that a browser trusts anyway: any other is refused.
    """
    certificate = x509.load_pem_x509_certificate((cloud.folder / "server.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@pytest.fixture(scope="module")
def browser(cloud: LocalCloud) -> Iterator[Any]:
    """Chromium, which trusts this cloud's certificate and no other that it did not trust before."""
    from selenium import webdriver

    found = chromium.find()
    assert found
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = found.browser
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_argument(f"--ignore-certificate-errors-spki-list={trusted_key(cloud)}")
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=found.driver))
        driver.set_window_size(1280, 960)
        try:
            yield driver
        finally:
            driver.quit()


@pytest.fixture(scope="module")
def sure_of_nothing(cloud: LocalCloud) -> Iterator[dict[str, str]]:
    """A stack whose threshold no reading reaches: every field that was read is doubtful."""
    settings = {**SMALL, "fields_that_matter": [], "minimum_confidence": 100}
    name = "unsure"
    try:
        yield deploy(cloud, synthesize(ARCHITECTURE, settings={ARCHITECTURE: settings}), name, artifact=ARCHITECTURE)
    finally:
        destroy(cloud, name)


def shown(browser: Any, review: Review) -> Any:
    """Open the link and wait until the picture is there."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(review.url)
    WebDriverWait(browser, 20).until(
        lambda page: page.execute_script(
            "const i = document.querySelector('.picture img'); return i && i.complete && i.naturalWidth > 0;"
        )
    )
    return browser.find_element(By.TAG_NAME, "form")


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def screenshot(browser: Any) -> Image.Image:
    return Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")


def test_a_reviewer_sees_the_doubtful_place_corrects_it_and_approves_by_keyboard(
    browser: Any, cloud: LocalCloud, sure_of_nothing: dict[str, str]
) -> None:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    with Desk(cloud, sure_of_nothing) as desk:
        # Given a form of which the machine is sure of nothing, and its review open in a browser
        clerk = Clerk(cloud, sure_of_nothing, desk)
        uploaded = clerk.upload(png(FORM))
        review = clerk.review_of(uploaded)
        form = shown(browser, review)
        # Then the page has its say: what is asked, in a language, with labels
        assert browser.title == "Review a document"
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
        inputs = form.find_elements(By.CSS_SELECTOR, "input[type=text]")
        names = [one.accessible_name for one in inputs]
        assert names[:2] == ["Patient", "City"]
        # and the mark of a field lies over its value on the picture: where the ink is, and not on the paper beside
        for index in range(2):
            mark = browser.find_element(By.CSS_SELECTOR, f'.mark[data-field="field-{index}"] rect')
            picture = browser.find_element(By.CSS_SELECTOR, ".picture img")
            box, whole = mark.rect, picture.rect
            drawn_top = (TOP + STEP * index) / HEIGHT
            drawn_left = VALUE_LEFT / WIDTH
            assert abs((box["y"] - whole["y"]) / whole["height"] - drawn_top) < 0.04
            assert abs((box["x"] - whole["x"]) / whole["width"] - drawn_left) < 0.03
            assert box["width"] < whole["width"] / 2
        # and its confidence is told, and each of the two is found by the keyboard
        assert "%" in browser.find_element(By.CSS_SELECTOR, ".mark text").text
        assert browser.switch_to.active_element.get_attribute("name") == "field-0"
        # When the reviewer corrects the second field, without a mouse, and approves
        press(browser, Keys.ENTER)
        active = browser.switch_to.active_element
        assert active.get_attribute("name") == "field-1"
        assert "current" in browser.find_element(By.CSS_SELECTOR, '.mark[data-field="field-1"]').get_attribute("class")
        outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineWidth")
        assert float(outline.removesuffix("px")) >= 2
        active.clear()
        active.send_keys("Chicago")
        ActionChains(browser).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
        WebDriverWait(browser, 20, ignored_exceptions=[StaleElementReferenceException]).until(
            lambda page: "Thank you" in page.find_element(By.TAG_NAME, "h1").text
        )
        # Then the workflow completes, and the row holds the correction
        row = clerk.wait_for(uploaded)
        assert int(row["corrections"]) == 1
        found = findings(cloud, sure_of_nothing, uploaded.document, uploaded.version)
        (city,) = [field for field in found["field"] if field["name"] == "City"]
        assert (city["value"], city["read_value"]) == ("Chicago", "Boston")
        # When the link is opened once more
        browser.get(review.url)
        # Then it is used up
        assert "answered" in browser.find_element(By.TAG_NAME, "h1").text


def test_the_browser_finds_nothing_that_the_pages_own_policy_forbids(browser: Any, clerk: Clerk) -> None:
    from selenium.webdriver.common.by import By

    # Given an open review
    review = clerk.review_of(clerk.upload(png(FORM)))
    # (what an earlier page had to say is not this one's)
    browser.get_log("browser")
    # When it is shown
    shown(browser, review)
    # Then the browser has blocked nothing and complained of nothing, and the style was applied
    complaints = [entry["message"] for entry in browser.get_log("browser") if "favicon" not in entry["message"]]
    assert complaints == []
    assert browser.find_element(By.CSS_SELECTOR, ".approve").value_of_css_property("cursor") == "pointer"
    clerk.visit(review, {"decision": "reject"})


def test_a_forged_link_is_refused_on_a_page_that_says_so(browser: Any, clerk: Clerk) -> None:
    from selenium.webdriver.common.by import By

    # Given a link whose last sign was changed
    review = clerk.review_of(clerk.upload(png(FORM)))
    forged = review.url[:-3] + ("AAA" if not review.url.endswith("AAA") else "BBB")
    # When it is opened
    browser.get(forged)
    # Then the page says that it is not valid, and shows nothing of the document
    assert "not valid" in browser.find_element(By.TAG_NAME, "h1").text
    assert not browser.find_elements(By.TAG_NAME, "form")
    assert not browser.find_elements(By.TAG_NAME, "img")
    clerk.visit(review, {"decision": "reject"})


def test_the_page_is_readable_on_a_phone(browser: Any, clerk: Clerk) -> None:
    from selenium.webdriver.common.by import By

    # Given an open review on a screen of a phone's size
    review = clerk.review_of(clerk.upload(png(FORM)))
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": PHONE[0], "height": PHONE[1], "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        # When it is shown
        form = shown(browser, review)
        # Then nothing is cut off at the side, the picture fills the width, and the form stands below it
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= PHONE[0]
        picture = browser.find_element(By.CSS_SELECTOR, ".picture img").rect
        assert picture["width"] > PHONE[0] * 0.8
        assert form.rect["y"] >= picture["y"] + picture["height"]
        # and what is to be touched is large enough for a thumb, what is to be read for an eye
        for button in browser.find_elements(By.TAG_NAME, "button"):
            assert button.rect["height"] >= 44
        size = browser.find_element(By.CSS_SELECTOR, "input[type=text]").value_of_css_property("font-size")
        assert float(size.removesuffix("px")) >= 16
        # and the screen shows something: neither blank nor one colour
        picture_of_screen = screenshot(browser)
        assert picture_of_screen.width == 2 * PHONE[0]
        assert len(picture_of_screen.getcolors(1_000_000) or []) > 50
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    clerk.visit(review, {"decision": "reject"})
