"""The recorded exchanges again, models, signatures, aliases and graph nodes renamed: no answer is known by heart."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.golden.renaming import (
    KEPT,
    Names,
    grpc_case,
    recorded_names,
    rename_models,
    renamed,
    renamed_config,
    rest_case,
    signatures,
)
from tests.golden.replaying import Case, cases, content, grpc_difference, rest_difference
from tests.golden.test_replay import FLAGS
from toolkit.serving.embedded import ServeRequest, Serving, serve
from toolkit.wire import protos

PLAIN = "saved_model_half_plus_two_cpu"
Start = Callable[[str], Serving]
REST = tuple(file for file in FLAGS if file != "grpc")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Gives a server over the renamed models with the flags of a file of recordings."""
    directory = tmp_path_factory.mktemp("renamed")
    rename_models(directory)
    running: dict[str, Serving] = {}
    with ExitStack() as stack:

        def started(file: str) -> Serving:
            flags: dict[str, Any] = dict(FLAGS[file]) | {"port": 0, "rest_api_port": 0}
            if file == "rest_plain":
                flags |= {"model_base_path": str(directory / "models" / PLAIN), "model_name": renamed("default")}
            else:
                config = directory / f"{'rest' if file == 'grpc' else file}.config"
                config.write_text(renamed_config(directory, cases(config.stem)))
                flags |= {"model_config_file": str(config), "allow_version_labels_for_unavailable_models": True}
            key = repr(sorted(flags.items()))
            if key not in running:
                running[key] = stack.enter_context(serve(None, ServeRequest(flags)))
            return running[key]

        yield started


def names_of(file: str) -> Names:
    return Names({"default": signatures(PLAIN)}) if file == "rest_plain" else recorded_names()


def renamed_cases(file: str) -> list[Case | None]:
    rename, names = (grpc_case if file == "grpc" else rest_case), names_of(file)
    return [rename(case, names) for case in cases(file)]


def replayed(file: str) -> list[Case]:
    return [case for case in renamed_cases(file) if case is not None]


def differences(exchanges: list[Case], difference: Callable[[Case], str | None]) -> dict[int, str]:
    """What differs, by place: names of cases repeat, and they build on one another."""
    found = enumerate(map(difference, exchanges))
    return {place: f"{exchanges[place]['name']}: {text}" for place, text in found if text is not None}


def told(case: Case) -> bytes | None:
    return content(case["response"]["body"])


@pytest.mark.parametrize("file", REST)
def test_rest_answers_under_other_names(file: str, start: Start) -> None:
    port = start(file).ready.rest_api_port
    assert port is not None
    assert differences(replayed(file), lambda case: rest_difference(case, port)) == {}


def test_grpc_answers_under_other_names(start: Start) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{start('grpc').ready.grpc_port}") as channel:
        assert differences(replayed("grpc"), lambda case: grpc_difference(case, channel)) == {}


def test_an_answer_with_the_recorded_names_is_found(start: Start) -> None:
    port = start("rest").ready.rest_api_port
    assert port is not None
    mixed = [
        new | {"response": old["response"]}
        for old, new in zip(cases("rest"), renamed_cases("rest"), strict=True)
        if new is not None and "varies" not in old and told(old) != told(new)
    ]
    assert len(mixed) > 20
    assert len(differences(mixed, lambda case: rest_difference(case, port))) == len(mixed)


def test_a_server_with_other_names_does_not_answer_as_recorded(start: Start) -> None:
    # The renamed server is asked what was recorded; only what fails before any name is looked at comes out the same.
    with grpc.insecure_channel(f"127.0.0.1:{start('grpc').ready.grpc_port}") as channel:
        pairs = zip(cases("grpc"), renamed_cases("grpc"), strict=True)
        changed = [old for old, new in pairs if new is not None and new["request_b64"] != old["request_b64"]]
        assert len(changed) > 70
        assert len(differences(changed, lambda case: grpc_difference(case, channel))) > 0.9 * len(changed)


def test_most_exchanges_are_replayed_and_most_of_them_look_different() -> None:
    olds = [case for file in FLAGS for case in cases(file)]
    news = [case for file in FLAGS for case in renamed_cases(file)]
    left = [case for case in news if case is not None]
    assert len(left) == len(olds) == 229 + 92
    assert sum(new != old for old, new in zip(olds, news, strict=True) if new is not None) >= 0.9 * len(olds)


def test_each_result_of_a_function_is_one_of_its_renamed_nodes(tmp_path: Path) -> None:
    rename_models(tmp_path)
    count = 0
    for file in tmp_path.rglob("saved_model.pb"):
        for meta_graph in protos.parse(protos.SavedModel, file.read_bytes()).meta_graphs:
            for function in meta_graph.graph_def.library.function:
                known = {node.name for node in function.node_def} | {one.name for one in function.signature.input_arg}
                results = [*function.ret.values(), *function.control_ret.values()]
                count += len(results)
                assert {name.partition(":")[0] for name in results} <= known, function.signature.name
    assert count > 100


def test_no_new_name_is_an_old_one() -> None:
    known = recorded_names().models
    words = {*known, *(key for model in known.values() for key in model)}
    words |= {alias for model in known.values() for aliases in model.values() for alias in aliases}
    assert {renamed(word) for word in words - KEPT}.isdisjoint(words)
    assert len({renamed(word) for word in words}) == len(words)
