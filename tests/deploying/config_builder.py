"""Rolls out by a models.config in a process that a test can kill: `config_builder.py VERB FOLDER BUNDLE before|after`.

The server is one that does what the file says at once; what is under test is what stands on the disk.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.deploying.builder import Act, main, published
from toolkit.deploying import canary, gate
from toolkit.deploying.canary import ConfigRollout
from toolkit.deploying.config_file import ConfigFile
from toolkit.deploying.gate import Finding
from toolkit.deploying.layout import Layout
from toolkit.deploying.proofs import Proof
from toolkit.deploying.publish import publish
from toolkit.deploying.rollout import Production
from toolkit.errors import DeployError
from toolkit.verifying.bundle import check_files
from toolkit.wire.messages import Endpoint, Protocol, Target

CONFIG = "models.config"
OTHER = 'config { name: "other" base_path: "/models/other" model_version_policy { specific { versions: 4 } } }'


class Obedient(Production):
    """A server that has every version at once; `wrong` answers wrong by the canary's label."""

    wrong = False

    def wait_until_available(self, target: Target) -> None:
        pass

    def findings(self, target: Target, proof: Proof) -> Iterator[Finding]:
        yield Finding("answers", not self.wrong, "as wanted")


class Wrong(Obedient):
    """One whose new version is wrong."""

    wrong = True


def rollout(layout: Layout, production: type[Obedient] = Obedient) -> ConfigRollout:
    config = ConfigFile(layout.base / CONFIG)
    # Nothing is sent: the labels are those of the file.
    stand_in = {
        "ask_reload": lambda *given: None,
        "ask_label": lambda endpoint, target, timeout: config.read(layout).label(target.label),
        "answers_again": lambda *given: "version 1 answers again",
    }
    for name, function in stand_in.items():
        setattr(canary, name, function)
    setattr(gate, "check_answers", lambda *given: iter(()))  # noqa: B010  # for mypy it is a function
    return ConfigRollout(config, production(Endpoint("127.0.0.1:1", Protocol.GRPC)))


def configured(layout: Layout, bundle: Path) -> None:
    """Version 1 is stable, by a file that has another model too."""
    published(layout, bundle)
    (layout.base / CONFIG).write_text(
        f'model_config_list {{ {OTHER} config {{ name: "times" base_path: "{layout.base_path}"'
        ' model_version_policy { specific { versions: 1 } } version_labels { key: "stable" value: 1 } } }'
    )


def deployed(layout: Layout, bundle: Path, production: type[Obedient] = Obedient) -> None:
    manifest = check_files(bundle)
    version = publish(layout, bundle, manifest, {})
    rollout(layout, production).carry_out(layout, version, Proof.of(bundle, manifest), lambda text: None)


def refused(layout: Layout, bundle: Path) -> None:
    try:
        deployed(layout, bundle, Wrong)
    except DeployError:
        return
    raise AssertionError("a wrong version became stable")


def rolled_back(layout: Layout, bundle: Path) -> None:
    moving = rollout(layout)
    moving.move(layout, moving.way_back(layout, None), "rollback")


VERBS: dict[str, tuple[list[Act], Act]] = {
    "deploy": ([configured], deployed),
    "refuse": ([configured], refused),
    "rollback": ([configured, deployed], rolled_back),
}


if __name__ == "__main__":
    main(VERBS[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
