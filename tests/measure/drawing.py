"""Has a real browser draw a page, and sees whether it complains or asks anybody for anything."""

import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium")
# As root in a container; everything that would look for a network is off.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0"),
)


def draw(text: str, tmp_path: Path, face: str) -> None:
    """Draws a page, light or dark; fails where the browser found an error."""
    assert CHROMIUM is not None
    file = tmp_path / "report.html"
    file.write_text(text, encoding="utf-8")
    picture, log = tmp_path / "report.png", tmp_path / "net.json"
    dark = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if face == "dark" else []
    places = (f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", f"--log-net-log={log}")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *dark, *places, "--window-size=1200,3000", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    assert picture.stat().st_size > 20_000
    # The browser's own start-up asks for nothing of the page's.
    asked = re.findall(r'"url":"(https?://[^"]+)"', log.read_text(encoding="utf-8"))
    assert [url for url in asked if "google" not in url and "gvt1" not in url] == []
