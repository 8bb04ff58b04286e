"""Has a real browser draw a page, and sees whether it complains or asks anybody for anything."""

import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
# scripts/test.sh installs it, or ends; who runs pytest alone may be without.
BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
# As root in a container; everything that would look for a network is off.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0"),
)


def draw(text: str, tmp_path: Path, face: str, width: int = 1200) -> tuple[int, int, int]:
    """Draws a page, light or dark; gives the colour of its upper left corner; fails where the browser complained."""
    assert CHROMIUM is not None
    file = tmp_path / "report.html"
    file.write_text(text, encoding="utf-8")
    picture, log = tmp_path / "report.png", tmp_path / "net.json"
    dark = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if face == "dark" else []
    places = (f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", f"--log-net-log={log}")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *dark, *places, f"--window-size={width},3000", file.as_uri()],
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
    return corner(picture.read_bytes())


def corner(png: bytes) -> tuple[int, int, int]:
    """Red, green and blue of the first pixel, which every filter of PNG leaves as it is."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    parts, at = b"", 8
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            assert body[8:10] in {b"\x08\x02", b"\x08\x06"}, "8 bits of red, green, blue, maybe with transparency"
        parts += body if kind == b"IDAT" else b""
        at += 12 + size
    red, green, blue = zlib.decompressobj().decompress(parts, 4)[1:]
    return red, green, blue
