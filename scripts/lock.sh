#!/usr/bin/env bash
# Remakes requirements.lock and requirements-dev.lock from pyproject.toml: bash scripts/lock.sh [--upgrade | --upgrade-package NAME]
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# The oldest Python that is supported, so that no pin is too new for it.
python=${PYTHON:-python3.11}
tools=$(mktemp -d)
trap 'rm -rf -- "$tools"' EXIT
"$python" -m venv "$tools"
"$tools/bin/pip" install --quiet pip-tools==7.6.2

# A wheel from a local folder or a second index may be built otherwise than PyPI's and would leave its hash here.
export PIP_CONFIG_FILE=/dev/null
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL

export CUSTOM_COMPILE_COMMAND="bash scripts/lock.sh"
compile() {
    "$tools/bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras --build-deps-for editable \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links "$@" pyproject.toml
}
compile "$@" --output-file requirements.lock
compile "$@" --extra dev --constraint requirements.lock --output-file requirements-dev.lock
