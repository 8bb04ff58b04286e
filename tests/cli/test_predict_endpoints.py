"""One question to a served model, over both protocols, and what is said when it cannot be asked."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toolkit
from tests.golden.replaying import DATA

Cli = Callable[..., Any]
HALF_PLUS_TWO = DATA / "models" / "saved_model_half_plus_two_cpu"
MODEL = HALF_PLUS_TWO.name


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Scheme to address of a server over the half-plus-two model."""
    from toolkit.api import serve
    from toolkit.serving.embedded import ServeRequest

    with serve(HALF_PLUS_TWO, ServeRequest({"port": 0, "rest_api_port": 0})) as serving:
        assert serving.grpc is not None
        assert serving.rest is not None
        yield {"grpc": serving.grpc.address, "http": serving.rest.address}


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_served_model_is_asked(scheme: str, addresses: dict[str, str]) -> None:
    url = f"{scheme}://{addresses[scheme]}/{MODEL}"
    answer = toolkit.predict(url, {"x": np.array([[1.0], [5.0]], np.float32)})
    np.testing.assert_allclose(answer["y"], [[2.5], [4.5]])


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_connection_answers_again_and_again(scheme: str, addresses: dict[str, str]) -> None:
    with toolkit.connect(f"{scheme}://{addresses[scheme]}/{MODEL}:serving_default") as runner:
        assert list(runner.signature.inputs) == ["x"]
        for value in (0.0, 2.0):
            np.testing.assert_allclose(runner.run({"x": np.array([[value]], np.float32)})["y"], [[value / 2 + 2]])


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nosuch", "Servable not found for request: Latest(nosuch)"),
        (f"{MODEL}:nosuch", "has no signature 'nosuch'"),
        (f"{MODEL}/versions/7", "Servable not found for request: Specific("),
    ],
)
def test_what_is_not_served_is_said_in_the_servers_words(
    scheme: str, path: str, said: str, addresses: dict[str, str]
) -> None:
    with pytest.raises(toolkit.ToolkitError) as refused:
        toolkit.predict(f"{scheme}://{addresses[scheme]}/{path}")
    assert said in refused.value.message


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_nobody_at_the_address_is_exit_code_4(scheme: str, cli: Cli) -> None:
    said = cli("predict", f"{scheme}://127.0.0.1:1/{MODEL}")
    assert said.code == 4
    assert "127.0.0.1:1 does not answer" in said.err


def test_a_url_without_a_model_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    said = cli("predict", "grpc://127.0.0.1:8500")
    assert said.code == 2
    assert "does not say which model" in said.err
