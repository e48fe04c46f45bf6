#!/usr/bin/env bash
# Runs everything that has to pass, from formatting to interoperation with nng, pynng, nanomsg and browsers.
#
#   ./test.sh          everything; installs the other implementations and valgrind if they are missing
#   ./test.sh quick    without them, and without the tests against them and the count of instructions
#   ./test.sh models   only the models of what threads do with each other
#   ./test.sh miri     only the tests without I/O, under miri, which has to be installed; no part of everything
#
# Interop tests that miss their peer fail. Set PYTHON to choose the interpreter for pynng's environment, and
# WIREBIRD_CHROMIUM to choose the browser.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec </dev/null

mode=${1-}
case $mode in
"" | quick | models | miri) ;;
*)
    echo "usage: ./test.sh [quick | models | miri]" >&2
    exit 2
    ;;
esac
quick=false
[ "$mode" != quick ] || quick=true

passed=0

# step NAME COMMAND...: runs a command, shows its output, and prints a line with its time.
step() {
    local name=$1 start=$SECONDS
    shift
    echo "==> $name"
    if ! "$@"; then
        echo "==> FAILED: $name ($((SECONDS - start)) s)"
        echo "$passed passed, 1 failed, the rest not run (${SECONDS} s)"
        exit 1
    fi
    passed=$((passed + 1))
    echo "==> ok: $name ($((SECONDS - start)) s)"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# What the interop and browser tests talk to: nngcat, nanocat, openssl, a program on libnng, pynng in .venv, and
# Chromium.
install_peers() {
    local packages=()
    command -v nngcat >/dev/null || packages+=(nng-utils)
    command -v nanocat >/dev/null || packages+=(nanomsg-utils)
    command -v "${WIREBIRD_CHROMIUM-chromium}" >/dev/null || packages+=(chromium)
    command -v openssl >/dev/null || packages+=(openssl)
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    [ -f /usr/include/nng/nng.h ] || packages+=(libnng-dev)
    local python=${PYTHON-python3}
    if ! [ -x .venv/bin/python ] && ! "$python" -c 'import ensurepip' 2>/dev/null; then
        packages+=(python3 python3-venv)
    fi
    if [ ${#packages[@]} -gt 0 ]; then
        export DEBIAN_FRONTEND=noninteractive
        as_root apt-get update -q
        as_root apt-get install -q -y --no-install-recommends "${packages[@]}"
    fi
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -c 'import pynng, websockets' 2>/dev/null ||
        .venv/bin/python -m pip install --quiet --disable-pip-version-check pynng websockets
    .venv/bin/python -c 'import pynng, websockets; print("pynng", pynng.__version__, "websockets", websockets.__version__)'
}

install_valgrind() {
    if ! command -v valgrind >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        as_root apt-get update -q
        as_root apt-get install -q -y --no-install-recommends valgrind
    fi
    valgrind --version
}

# run_tests ARGUMENT...: runs tests with nextest where it is installed, else with cargo itself.
run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --no-fail-fast "$@"
    else
        cargo test --no-fail-fast "$@"
    fi
}

all_tests() {
    local skip=()
    if $quick; then
        # Tests against other implementations are in test binaries whose name begins with interop or browser.
        local file
        for file in tests/*.rs; do
            case $(basename "$file" .rs) in
            interop* | browser*) ;;
            *) skip+=(--test "$(basename "$file" .rs)") ;;
            esac
        done
        skip+=(--lib --bins)
    fi
    run_tests --all-features ${skip[@]+"${skip[@]}"}
}

# The poller for systems without epoll, on this one: its own tests, and messages through real sockets.
portable_poller() (
    export RUSTFLAGS="${RUSTFLAGS-} --cfg wirebird_portable_poller"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR-target}/portable"
    cargo build --examples && cargo test --lib poller && cargo test --test examples
)

# Every order in which a few threads can use a socket, as far as loom finds them; see src/engine/models/mod.rs.
models() (
    export RUSTFLAGS="${RUSTFLAGS-} --cfg wirebird_loom"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR-target}/models"
    cargo test --lib --no-default-features --profile models engine::models
)

# The part of the library that has neither I/O nor threads. Property tests try few cases, for miri is slow, and keep
# none, for it has no files.
miri() {
    if ! cargo +nightly miri --version >/dev/null 2>&1; then
        echo "miri is not installed: rustup toolchain install nightly --component miri" >&2
        return 1
    fi
    local few=PROPTEST_CASES none=PROPTEST_DISABLE_FAILURE_PERSISTENCE
    env "$few=4" "$none=1" MIRIFLAGS="${MIRIFLAGS-} -Zmiri-env-forward=$few -Zmiri-env-forward=$none" \
        cargo +nightly miri test --lib --no-default-features -- wire:: message:: protocols::
}

no_warnings() {
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features
}

case $mode in
models | miri)
    step "$mode" "$mode"
    exit
    ;;
esac
$quick || step "install nngcat, nanocat, pynng and Chromium" install_peers
step "formatting" cargo fmt --check
step "lints" cargo clippy --all-targets --all-features -- -D warnings
step "lints without the command" cargo clippy --lib --tests --examples --no-default-features -- -D warnings
step "documentation" no_warnings
step "build" cargo build --all-features --bins --examples
step "tests" all_tests
step "documentation tests" cargo test --doc --all-features
step "portable poller" portable_poller
step "models" models
$quick || step "install valgrind" install_valgrind
$quick || step "instructions of the hot paths" "${PYTHON-python3}" benches/instructions/check.py
echo "$passed passed, 0 failed (${SECONDS} s)"
