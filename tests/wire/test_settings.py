"""Config and settings files, and URLs."""

from pathlib import Path

import pytest

from toolkit.errors import Fault, ServingError, UsageError, WireError
from toolkit.wire import configs, settings
from toolkit.wire.endpoints import is_url, parse_url
from toolkit.wire.messages import Keep, ModelConfig, Protocol, Target, VersionPolicy


def test_the_recorded_servers_files_are_read(root: Path) -> None:
    data = root / "tests" / "golden" / "data"
    models = configs.read_config_text((data / "models.config.in").read_text())
    assert models is not None
    by_name = {model.name: model for model in models}
    assert len(by_name) == 9
    assert by_name["hp2v"].policy == VersionPolicy(Keep.SPECIFIC, versions=(123, 124))
    assert by_name["hp2v"].labels == {"stable": 123, "canary": 124}
    assert by_name["hp2"].policy == VersionPolicy(Keep.LATEST, 1)
    assert settings.read_monitoring((data / "monitoring.config").read_text()).enable
    assert settings.read_batching((data / "batching.config").read_text()) == settings.BatchingParameters(
        max_batch_size=4,
        batch_timeout_micros=1000,
        max_enqueued_batches=2,
        num_batch_threads=2,
        allowed_batch_sizes=(2, 4),
    )


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", VersionPolicy()),
        ("latest {}", VersionPolicy()),
        ("latest { num_versions: 0 }", VersionPolicy()),
        ("latest { num_versions: 3 }", VersionPolicy(count=3)),
        ("all {}", VersionPolicy(Keep.ALL)),
        ("specific { versions: [1, 5] }", VersionPolicy(Keep.SPECIFIC, versions=(1, 5))),
    ],
)
def test_a_version_policy(policy: str, expected: VersionPolicy) -> None:
    text = f"model_config_list {{ config {{ name: 'm' model_version_policy {{ {policy} }} }} }}"
    models = configs.read_config_text(text)
    assert models is not None
    assert models[0].policy == expected


def test_a_config_without_a_list_of_models_is_none() -> None:
    assert configs.read_config_text("") is None
    assert configs.read_config_text("model_config_list {}") == ()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (
            [ModelConfig("a", "/a"), ModelConfig("a", "/b")],
            "Illegal to list model a multiple times in config list",
        ),
        ([ModelConfig("z", "")], "Expected model z to have an absolute path or URI; got base_path()="),
        ([ModelConfig("z", "rel/path")], "Expected model z to have an absolute path or URI; got base_path()=rel/path"),
        ([ModelConfig("z", "/z", "foo")], "Model z requests unsupported platform foo"),
        (
            [ModelConfig("z", "/z", "")],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            "model name is z",
        ),
        (
            [ModelConfig("z", "/z", "tensorflow", 1)],
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
            "model name is z",
        ),
        ([ModelConfig("z", "/z", "", 2)], "ModelServerConfig::model_type choice 2 not supported."),
        (
            [ModelConfig("a", "/a", ""), ModelConfig("a", "rel")],
            "Illegal to list model a multiple times in config list",
        ),
    ],
)
def test_a_list_of_models_is_refused(models: list[ModelConfig], message: str) -> None:
    with pytest.raises(ServingError) as caught:
        configs.check_models(models)
    assert caught.value.message == message


def test_a_list_of_models_is_accepted() -> None:
    configs.check_models([ModelConfig("a", "/a"), ModelConfig("", "file:///b/c"), ModelConfig("d", "/d", "", 1)])


@pytest.mark.parametrize("place", ["gs://b/m", "s3://b/m", "hdfs://n/m", "file://host/m"])
def test_a_place_that_is_not_on_this_machine_is_refused_and_not_waited_for(place: str) -> None:
    with pytest.raises(ServingError, match="only local directories are served") as caught:
        configs.check_models([ModelConfig("m", place)])
    assert caught.value.fault is Fault.INVALID


def test_monitoring_has_a_usual_path() -> None:
    read = settings.read_monitoring("prometheus_config { enable: true }")
    assert read == settings.MonitoringConfig(enable=True, path="/monitoring/prometheus/metrics")
    assert settings.read_monitoring("prometheus_config { enable: true, path: '/m' }").path == "/m"
    assert not settings.read_monitoring("").enable


def test_tls_files_are_pasted_over_several_lines() -> None:
    text = 'server_key: "-----BEGIN\nKEY-----"\nserver_cert: \'a\\nb\' # "cert"\nclient_verify: true'
    assert settings.read_tls(text) == settings.TlsConfig("-----BEGIN\nKEY-----", "a\nb", "", client_verify=True)


def test_batching_parameters_that_are_not_set_are_none() -> None:
    read = settings.read_batching("pad_variable_length_inputs: true enable_large_batch_splitting { value: false }")
    assert read.max_batch_size is None
    assert read.enable_large_batch_splitting is False
    assert read.pad_variable_length_inputs


@pytest.mark.parametrize("read", [settings.read_batching, settings.read_monitoring, settings.read_tls])
@pytest.mark.parametrize("text", ["nope: 1", "{", "max_batch_size: 5 5", "server_key: 5", "prometheus_config: 1"])
def test_a_file_that_is_wrong_says_where(read: object, text: str) -> None:
    assert callable(read)
    with pytest.raises(WireError, match=r"the text is no \w+: 1:"):
        read(text)


@pytest.mark.parametrize(
    ("url", "protocol", "tls", "address", "target"),
    [
        ("grpc://localhost:8500/m", Protocol.GRPC, False, "localhost:8500", Target("m")),
        ("grpcs://h:1/m:sig", Protocol.GRPC, True, "h:1", Target("m", signature="sig")),
        ("http://h:1/m/versions/3", Protocol.REST, False, "h:1", Target("m", 3)),
        ("https://h:1/m/labels/a%20b:s", Protocol.REST, True, "h:1", Target("m", label="a b", signature="s")),
        ("http://h:1/v1/models/m:predict", Protocol.REST, False, "h:1", Target("m")),
        ("http://[::1]:1/a%2Fb", Protocol.REST, False, "[::1]:1", Target("a/b")),
    ],
)
def test_a_url_means(url: str, protocol: Protocol, tls: bool, address: str, target: Target) -> None:
    assert is_url(url)
    remote = parse_url(url)
    assert (remote.endpoint.protocol, remote.endpoint.tls, remote.endpoint.address) == (protocol, tls, address)
    assert remote.target == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "m",
        "ftp://h:1/m",
        "grpc://h/m",
        "grpc://h:1",
        "grpc://h:1/",
        "grpc://h:99999/m",
        "http://h:1/a/b/c",
        "http://:1/m",
    ],
)
def test_what_is_no_url_says_how_to_write_one(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(url)
    assert "grpc://HOST:PORT/MODEL" in caught.value.hint
