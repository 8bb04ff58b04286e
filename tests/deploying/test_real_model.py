"""A shipped model through the whole way, and many versions while clients ask."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.deploying.bundles import make_bundle
from tests.deploying.conftest import endpoints, watched
from toolkit.deploying.commands import BinaryCommand
from toolkit.deploying.deployment import Plan, deploy
from toolkit.deploying.gate import Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.publish import publish
from toolkit.deploying.rollout import DirectoryRollout
from toolkit.runtimes.served import open_remote
from toolkit.serving.host import Host
from toolkit.verifying.bundle import check_files
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import Target


def test_the_mlp_is_deployed_through_our_own_server_as_a_tensorflow_model_server(
    tmp_path: Path, shipped: Callable[[str], Path]
) -> None:
    script = tmp_path / "tensorflow_model_server"
    script.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo "TensorFlow Library: 2.21.0"; exit; fi\n'
        f'exec {sys.executable} -m toolkit.cli.main serve "$@"\n'
    )
    script.chmod(0o755)
    layout = Layout(tmp_path / "serving", "digits")
    limits = Limits(rate=1000.0, requests=20)
    done = deploy(Plan(shipped("mlp"), layout, DirectoryRollout(), BinaryCommand(str(script)), limits))
    assert {found.name: found.passed for found in done.findings}["answers over rest (serving_default)"]
    published = {path.name for path in done.path.iterdir()}
    assert {"saved_model.pb", "variables", "tfx-export.json", "assets.extra"} <= published


@pytest.mark.long
def test_a_hundred_versions_are_published_while_clients_ask_and_no_request_fails(
    layout: Layout, production: Callable[..., Host], tmp_path: Path
) -> None:
    bundles = [make_bundle(tmp_path / str(version), version + 1.0, version) for version in range(1, 101)]
    manifests = [check_files(made) for made in bundles]
    with layout.alone():
        publish(layout, bundles[0], manifests[0], {})
    host = production()
    ending, failures, answered = threading.Event(), list[BaseException](), list[float]()

    def ask(which: int) -> None:
        try:
            with open_remote(Remote(endpoints(host)[which % 2], Target(layout.name))) as runner:
                while not ending.is_set():
                    answered.append(float(runner.run({"x": np.array([1.0], np.float32)})["y"][0]))
        except BaseException as error:  # noqa: BLE001  # whatever it is, a request failed
            failures.append(error)

    clients = [threading.Thread(target=ask, args=(which,)) for which in range(4)]
    for client in clients:
        client.start()
    try:
        for version, (made, manifest) in enumerate(zip(bundles[1:], manifests[1:], strict=True), start=2):
            with layout.alone():
                assert publish(layout, made, manifest, {}) == version
            watched(host).wait_until_available(Target(layout.name, version))
    finally:
        ending.set()
        for client in clients:
            client.join()
    assert failures == []
    assert len(set(answered)) > 50
