# shellcheck shell=bash
# Sourced by build.sh and test.sh: turns a lock file into an up-to-date .venv. Speaks on stderr alone, so that --json stays clean.

root=$(CDPATH="" cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv

die() {
    printf 'error: %s\n' "$1" >&2
    exit 4 # the command line's own code for "something needed is missing"
}

# set_up LOCK [CONTAINED...]: installs LOCK and the project; each CONTAINED is a lock file whose pins LOCK holds too.
set_up() {
    local lock
    if is_ready "$1"; then return; fi
    # This file itself is the lock that keeps two set-ups apart: .venv may be removed while one of them waits.
    exec {guard}<"$root/scripts/setup.sh"
    if ! flock --nonblock "$guard"; then
        echo "Waiting for another set-up of .venv to end" >&2
        flock "$guard"
    fi
    if ! is_ready "$1"; then
        make_venv
        install_lock "$1"
        for lock in "$@"; do digest "$lock" >"$venv/ready.$lock"; done
        rm -- "$venv/unfinished"
    fi
    exec {guard}<&- # what runs next may serve for days
}

# The path counts too: the scripts of a virtual environment hold it and do not survive a move.
digest() {
    (cd -- "$root" && { pwd -P && sha256sum -- "$1" pyproject.toml; } | sha256sum)
}

is_ready() {
    [[ ! -e $venv/unfinished && -x $venv/bin/tfx-export && -f $venv/ready.$1 ]] && is_wanted_python &&
        [[ $(<"$venv/ready.$1") == "$(digest "$1")" ]]
}

# Only who names a Python is held to it; otherwise the one that .venv was made with stays.
is_wanted_python() {
    [[ -z ${PYTHON:-} || $("$PYTHON" -V 2>&1) == "$("$venv/bin/python" -V 2>&1)" ]]
}

make_venv() {
    local python=${PYTHON:-python3}
    if [[ ! -e $venv/unfinished ]] && is_wanted_python && is_whole; then return; fi
    check_python "$python"
    rm -rf -- "$venv"
    mkdir -- "$venv"
    : >"$venv/unfinished"
    "$python" -m venv "$venv" >&2 || die "$python could not make .venv"
}

# A Python that was upgraded away or a moved repository leaves a pip that does not run, or that installs somewhere else.
is_whole() {
    [[ $("$venv/bin/pip" --version 2>/dev/null) == *" $venv/"* ]]
}

check_python() {
    command -v "$1" >/dev/null || die "$1 is not installed; install Python 3.11, 3.12 or 3.13, or name one: PYTHON=python3.11"
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
        die "$1 is $("$1" -V 2>&1), this needs Python 3.11, 3.12 or 3.13; name one: PYTHON=python3.11"
    "$1" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$1 has no venv; on Debian: apt-get install python3-venv"
}

install_lock() {
    local pip=("$venv/bin/pip" --quiet --disable-pip-version-check)
    : >"$venv/unfinished"
    echo "Installing $1 into .venv (once; minutes where the packages are not cached)" >&2
    "${pip[@]}" install --require-hashes -r "$root/$1" >&2 || die "$1 could not be installed; run this again"
    # Its build tools are pinned by the lock file, so nothing unpinned is fetched to build it.
    "${pip[@]}" install --no-deps --no-build-isolation -e "$root" >&2 || die "the project could not be installed"
}

# need_debian PACKAGE...: installs what is missing where it may, else says what to install.
need_debian() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then return; fi
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        die "missing: ${missing[*]}; on Debian: sudo apt-get install ${missing[*]}"
    fi
    echo "Installing ${missing[*]}" >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "${missing[@]}"; } >&2 ||
        die "apt-get could not install ${missing[*]}"
}
