"""What TensorFlow Serving says when models cannot be configured, loaded, labelled or warmed up."""

from collections.abc import Mapping

from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.wire.codes import CODE_OF_FAULT

MAX_WARMUP_RECORDS = 1000


def _invalid(message: str, hint: str) -> ServingError:
    return ServingError(message, hint=hint, fault=Fault.INVALID)


def _precondition(message: str, hint: str) -> ServingError:
    return ServingError(message, hint=hint, fault=Fault.PRECONDITION)


# The list of models


def config_kind_unsupported() -> ServingError:
    """A reload that holds no list of models."""
    return _invalid(
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported",
        "send a model_config_list",
    )


def no_list_of_models() -> ServingError:
    """A --model_config_file that holds no list of models; TensorFlow Serving's words for one that is read again."""
    return _precondition(
        "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another.",
        "write a model_config_list",
    )


def listed_twice(name: str) -> ServingError:
    """One model name at two places of the list."""
    return _invalid(f"Illegal to list model {name} multiple times in config list", "give each model its own name")


def relative_path(name: str, base_path: str) -> ServingError:
    """A base path that is not absolute, or is missing."""
    return _invalid(
        f"Expected model {name} to have an absolute path or URI; got base_path()={base_path}", "give an absolute path"
    )


def not_local(name: str, base_path: str) -> ServingError:
    """A base path that is not on this machine; ours: the real server is built with some such places."""
    return _invalid(
        f"Model {name} has base_path()={base_path}; only local directories are served: /path or file:///path",
        "copy or mount it, and give its local path",
    )


def unsupported_platform(name: str, platform: str) -> ServingError:
    """A platform that nothing here runs."""
    return _invalid(f"Model {name} requests unsupported platform {platform}", 'write model_platform: "tensorflow"')


def no_platform(name: str) -> ServingError:
    """Neither a platform nor the deprecated type."""
    return _invalid(
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
        f"model name is {name}",
        'write model_platform: "tensorflow"',
    )


def two_platforms(name: str) -> ServingError:
    """Both a platform and the deprecated type."""
    return _invalid(
        "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
        f"model name is {name}",
        "leave out model_type",
    )


def unsupported_type(model_type: int) -> ServingError:
    """A deprecated type other than TENSORFLOW."""
    return _invalid(
        f"ModelServerConfig::model_type choice {model_type} not supported.", 'write model_platform: "tensorflow"'
    )


def platform_changed(name: str, old: str, new: str) -> ServingError:
    """A reload that gives a model another platform."""
    return _invalid(
        f"Illegal to change a model's platform. For model {name} platform was {old} "
        f"and new platform requested is {new}",
        "give the model a new name",
    )


# Labels


def label_to_unavailable(version: int, name: str) -> ServingError:
    """A label for a version that is not AVAILABLE."""
    return _precondition(
        f"Request to assign label to version {version} of model {name}, which is not currently available for inference",
        "wait for the version, or start with --allow_version_labels_for_unavailable_models",
    )


# Loading


def not_a_saved_model(path: str) -> ServingError:
    """A version's directory without saved_model.pb."""
    return ServingError(
        "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
        f"`saved_model.pb`)\nSpecified file path: {path}",
        hint="publish whole versions, by rename",
        fault=Fault.NOT_FOUND,
    )


def nothing_proven(path: str, what: str, runtime: str) -> ServingError:
    """A runtime that was asked for, and files of which nobody knows what it makes of them; ours."""
    return _precondition(
        f"{path} is a bare {what}: nothing was proven for --runtime {runtime}",
        "serve a bundle of `tfx-export build`, or leave --runtime out",
    )


def no_versions(name: str, base_path: str) -> ServingError:
    """A base path without a version, where the disk is looked at only once."""
    return ServingError(
        f"No versions of servable {name} found under base path {base_path}",
        hint="name the version's directory by a number, or let the server poll",
        fault=Fault.NOT_FOUND,
    )


def version_is_a_file(name: str, version: int, path: str) -> ServingError:
    """A plain file where a version's directory should be."""
    return _precondition(
        f"Error while attempting to reserve resources to load servable {{name: {name} version: {version}}}: "
        f"{path}; Not a directory",
        "remove the file",
    )


def not_available(failures: Mapping[tuple[str, int], ToolkitError], *, start: bool) -> ServingError:
    """Models that did not become available, each with its error: at the start, or in a reload."""
    what = "servable(s)" if start else "model(s)"
    listed = "".join(
        f"{{{{name: {name} version: {version}}} due to error: {CODE_OF_FAULT[error.fault].name}: {error.message}}}, "
        for (name, version), error in failures.items()
    )
    return ServingError(
        f"{len(failures)} {what} did not become available: {{{listed}}}",
        hint="the model's status has each version's error",
        fault=Fault.UNKNOWN,
    )


# Warm-up


def too_many_warmup_records(path: str) -> ServingError:
    """A warm-up file with more records than the server reads."""
    return _invalid(
        f"Number of warmup records exceeds the maximum ({MAX_WARMUP_RECORDS}) at {path}", "keep the first ones"
    )


def warmup_corrupted(offset: int) -> ServingError:
    """A warm-up file whose bytes do not have their checksum, or that is no TFRecord file at all."""
    return _warmup_lost(f"corrupted record at {offset}" + ("" if offset else " (Is this even a TFRecord file?)"))


def warmup_truncated(offset: int) -> ServingError:
    """A warm-up file that ends within a record."""
    return _warmup_lost(f"truncated record at {offset}' failed with Read less bytes than requested")


def _warmup_lost(problem: str) -> ServingError:
    return ServingError(
        f"{problem}. Please verify your warmup data is in TFRecord format.",
        hint="write it with TFRecordWriter, or start with --enable_model_warmup=false",
        fault=Fault.DATA_LOSS,
    )


def warmup_kind_unsupported(number: int) -> ServingError:
    """A warm-up record of a request that is not replayed; kinds are named by their number in PredictionLog."""
    return ServingError(
        f"Unsupported log_type for warmup: {number}",
        hint="record predict, classify, regress and multi inference requests",
        fault=Fault.UNIMPLEMENTED,
    )


def warmup_record_unreadable(record: bytes, path: str) -> ServingError:
    """A warm-up record that is no PredictionLog."""
    text = record.decode("utf-8", "backslashreplace")
    return _invalid(f"Failed to parse warmup record: {text} from {path}", "write PredictionLog records")


# Batching parameters


def last_batch_size_wrong(last: int, maximum: int) -> ServingError:
    """allowed_batch_sizes that does not end in max_batch_size."""
    return _invalid(
        f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {last}; expected {maximum}",
        "end allowed_batch_sizes with max_batch_size",
    )


def batch_threads_not_positive(count: int) -> ServingError:
    """num_batch_threads below 1."""
    return _invalid(f"num_batch_threads must be positive; was {count}", "set num_batch_threads to 1 or more")
