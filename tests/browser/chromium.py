"""The browser that the page tests drive: Chromium with its driver, as Debian and others package them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
INSTALL = "On Debian: apt-get install chromium chromium-driver"


@dataclass(frozen=True)
class Chromium:
    """Paths of the browser and of its driver."""

    browser: str
    driver: str


def find() -> Chromium | None:
    """The browser of this machine, or None where it or its driver is missing."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    driver = shutil.which(DRIVER)
    return Chromium(browser, driver) if browser and driver else None
