"""Names that say nothing, and places that exist on one machine only, stay out of the repository."""

import re
import subprocess
from pathlib import Path

import pytest

EMPTY_WORDS = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?)(_|$)")
# Put together here, so that this file does not hold what it forbids.
PLACES = re.compile(
    rb"(?<![\w./-])/(?:work|root|Users|home|opt/pypi)[/-]\w"
    rb"|pypi\.org" + rb"/simple|files\.python" + rb"hosted\.org|/tmp" + rb"/w/v|--(?:extra-)?index" + rb"-url[ =]"
)


def test_no_module_has_a_name_that_says_nothing(root: Path) -> None:
    names = {part for path in files(root) if path.suffix == ".py" for part in (*path.parts[:-1], path.stem)}
    assert {name for name in names if EMPTY_WORDS.search(name)} == set()


def test_no_file_names_a_place_on_one_machine_or_a_package_index(root: Path) -> None:
    found = {str(path): PLACES.findall((root / path).read_bytes()) for path in files(root)}
    assert {path: places for path, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "place", ["/".join(("", "work", "main")), "/".join(("", "home", "me")), "pypi.org" + "/simple"]
)
def test_a_place_would_be_seen(place: str) -> None:
    assert PLACES.search(f'path = "{place}/x"'.encode())


@pytest.mark.parametrize("text", ["network/work/x", "https://host/home/x", "$root/home/x", "the work/life balance"])
def test_other_text_passes(text: str) -> None:
    assert PLACES.search(text.encode()) is None


def files(root: Path) -> list[Path]:
    """What is in the repository or would be with the next commit, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (root / (path := Path(name))).is_file()]
