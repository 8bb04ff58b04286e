#!/usr/bin/env bash
# Sets up .venv where needed and runs tfx-export: bash scripts/build.sh [tfx-export arguments]; without any, builds every shipped model
# and measures one of them on every path.
set -euo pipefail
source -- "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

set_up requirements.lock
# From outside the repository, names of models and exported/ still mean this repository's.
[[ $(pwd -P)/ == "$root"/* ]] || cd -- "$root"
if (($# == 0)); then
    "$venv/bin/tfx-export" build
    set -- bench mlp --quick
fi
exec "$venv/bin/tfx-export" "$@"
