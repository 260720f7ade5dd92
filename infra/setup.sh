#!/bin/sh
# Makes .venv from uv.lock. Needs Python 3.11 or newer and nothing else; a second call takes no time.
#
#   sh infra/setup.sh             make or refresh .venv   (EXTRAS="samples stt" adds extras, PYTHON=... picks a Python)
#   sh infra/setup.sh uv ARG...   run the uv that would be used, e.g. `uv lock`
#
# uv is taken from PATH, else installed into var/tools. Outside the checkout only the ordinary package caches are
# written, and not even those where the home folder cannot hold them.
set -eu
cd "$(dirname "$0")/.."

stop() {
    echo "setup: $1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Each candidate is run, not only looked up: version switchers leave names on PATH that do not work.
# The base interpreter is asked for, so that .venv never hangs on another virtual environment.
find_python() {
    base='import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || stop "PYTHON=$PYTHON is not a working Python 3.11 or newer."
        "$PYTHON" -c "$base"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        if is_new_enough "$candidate"; then
            "$candidate" -c "$base"
            return
        fi
    done
    stop "MegaCity needs Python 3.11 or newer, and none was found on PATH. Install one (Debian, Ubuntu: apt install \
python3 python3-venv), or name it: make PYTHON=/path/to/python3.12"
}

keep_caches_inside_where_home_cannot_hold_them() {
    [ -z "${UV_CACHE_DIR:-}${XDG_CACHE_HOME:-}" ] || return 0
    home_cache="${HOME:-}/.cache"
    if [ -n "${HOME:-}" ] && [ -w "$HOME" ] && { [ ! -e "$home_cache" ] || [ -w "$home_cache" ]; }; then
        return 0
    fi
    export UV_CACHE_DIR="$PWD/var/cache/uv" PIP_CACHE_DIR="$PWD/var/cache/pip"
    mkdir -p "$UV_CACHE_DIR" "$PIP_CACHE_DIR"
}

# uv.lock needs a uv that knows dependency groups.
uv_is_new_enough() {
    version=$("$1" --version 2>/dev/null) || return 1
    version=${version#uv }
    version=${version%% *}
    oldest=$(printf '%s\n0.6.0\n' "$version" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)
    [ "$oldest" = "0.6.0" ]
}

find_uv() {
    if uv_is_new_enough uv; then
        command -v uv
        return
    fi
    own="$PWD/var/tools/uv"
    if ! uv_is_new_enough "$own/bin/uv"; then
        echo "setup: no uv on PATH; installing one into var/tools" >&2
        rm -rf "$own"
        mkdir -p "$PWD/var/tools"
        # pip asks `rustc` for its version; where that is rustup's, it would leave a settings file at home.
        export RUSTUP_HOME="$PWD/var/tools/rustup"
        if "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
            "$python" -m venv "$own" >&2
            "$own/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.6,<1' >&2
        elif "$python" -m pip --version >/dev/null 2>&1; then
            "$python" -m pip install --quiet --disable-pip-version-check --target "$own" 'uv>=0.6,<1' >&2
        else
            stop "$python has neither its venv module nor pip. Install them (Debian, Ubuntu: apt install python3-venv), \
or put uv on PATH."
        fi
    fi
    echo "$own/bin/uv"
}

# uv links files out of its cache where it can, and warns where it cannot.
choose_link_mode() {
    [ -z "${UV_LINK_MODE:-}" ] || return 0
    cache=$("$uv" cache dir 2>/dev/null) || return 0
    mkdir -p "$cache"
    if [ "$(df -P "$cache" | awk 'END {print $NF}')" != "$(df -P . | awk 'END {print $NF}')" ]; then
        export UV_LINK_MODE=copy
    fi
}

prepare_uv() {
    unset VIRTUAL_ENV || true
    export UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT="$PWD/.venv"
    keep_caches_inside_where_home_cannot_hold_them
    python=$(find_python)
    uv=$(find_uv)
    choose_link_mode
}

if [ "${1:-}" = uv ]; then
    shift
    prepare_uv
    exec "$uv" "$@"
fi

# The stamp holds what .venv was made from, and where: scripts inside it name the folder by its absolute path.
stamp=.venv/megacity-setup-stamp
# WITH_PEERS=1 adds what the benchmarks run against; once they are there, they stay.
extras=${EXTRAS:-samples}
peers=${WITH_PEERS:-$(sed -n 's/^peers: //p' "$stamp" 2>/dev/null || true)}
wanted="$PWD
$extras ${PYTHON:-}
peers: $peers
$(cksum uv.lock pyproject.toml)"
if [ -x .venv/bin/megacity ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] &&
    .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

if [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" != "$PWD" ]; then
    echo "setup: this checkout was moved; making .venv anew" >&2
    rm -rf .venv
fi
prepare_uv
echo "setup: making .venv with $("$python" --version) ($python)" >&2
options=""
for extra in $extras; do
    options="$options --extra $extra"
done
[ -z "$peers" ] || options="$options --group peers"
# Where Python may not keep bytecode when it first imports a module, every start would compile everything anew,
# which takes longer than all the rest of a start: it is compiled here, once.
[ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || options="$options --compile-bytecode"
# --inexact: what somebody added with another EXTRAS stays.
# shellcheck disable=SC2086 # the options are words
"$uv" sync --frozen --inexact --python "$python" $options ||
    stop "the packages could not be installed; uv's message is above."
[ -z "${PYTHONDONTWRITEBYTECODE:-}" ] ||
    .venv/bin/python -m compileall -q domain commands projections read_api gpu_workers infra tests || true
printf '%s\n' "$wanted" >"$stamp"
echo "setup: .venv is ready" >&2
