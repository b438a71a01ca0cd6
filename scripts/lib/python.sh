# Sourced by scripts/run, scripts/test and scripts/gpu_check: `ready_python EXTRAS [--reinstall]` sets `python` to the
# Python of the project's .venv, made and filled first where need be. All that is more than finding a first Python is in
# environment.py beside this file.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
lib="$root/scripts/lib"

complain() { printf 'dlcourse: %s\n' "$*" >&2; }

# The range of pyproject.toml, as in ">=3.11,<3.15": 11 15.
read -r oldest beyond < <(sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$/\1 \2/p' "$root/pyproject.toml")

# version_of PYTHON: prints "3.12", or nothing where it is no Python at all.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# fits VERSION: within the range.
fits() { [[ $1 == 3.* ]] && (( ${1#3.} >= oldest && ${1#3.} < beyond )); }

# find_python: prints the first Python that can make the environment, $PYTHON alone if that is set.
find_python() {
    local candidate version seen="" without_venv=""
    local candidates=(python3 python3.13 python3.12 python3.11 python3.14 python)
    [[ -n ${PYTHON:-} ]] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        version=$(version_of "$candidate") || continue
        if ! fits "$version"; then
            seen+="${seen:+, }$candidate is $version"
        elif "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        else
            without_venv=$version
        fi
    done
    if [[ -n $without_venv ]]; then
        complain "Python $without_venv is here without its venv module; on Debian and Ubuntu: sudo apt install python$without_venv-venv"
    elif [[ -n $seen ]]; then
        complain "Python 3.$oldest to 3.$((beyond - 1)) is needed, but $seen. Install one, or name it: PYTHON=/path/to/python3.12 $0 ..."
    elif [[ -n ${PYTHON:-} ]]; then
        complain "PYTHON=$PYTHON cannot be run"
    else
        complain "no Python found. Python 3.$oldest to 3.$((beyond - 1)) is needed; install one, or name it: PYTHON=/path/to/python3.12 $0 ..."
    fi
    return 1
}

ready_python() {
    local extras="$1" found
    shift
    python="$root/.venv/bin/python"
    # The usual case: all is there, and .venv's own Python says so.
    if [[ $# -eq 0 && -z ${PYTHON:-} && -x $python ]] && "$python" "$lib/environment.py" --check --extras "$extras" 2>/dev/null; then
        return 0
    fi
    found=$(find_python) || exit 1
    "$found" "$lib/environment.py" --extras "$extras" "$@" || exit
}
