#!/usr/bin/env bash
# Sets up .venv where needed and checks everything: bash scripts/test.sh [--all] [pytest arguments]
set -euo pipefail
source -- "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

need_debian chromium openssl # one draws pages in tests, the other makes certificates for them
set_up requirements-dev.lock requirements.lock
exec "$root/scripts/check" "$@"
