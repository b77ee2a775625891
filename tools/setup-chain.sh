#!/usr/bin/env bash
# Installs anvil, the EVM node of the demo and of the end-to-end tests, into the cache folder.
# It comes from npm, keyed by its version, and its digest is checked every time.
set -euo pipefail

version=1.7.1
# SHA-256 of bin/anvil in @foundry-rs/anvil-linux-amd64@1.7.1.
linux_amd64_sha256=10c1c727d6c1de973aeb160e59875b9a9a23464d6e74149ee8abb30b3500311b

cache="${SUBROSA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/subrosa}"
home="$cache/npm-foundry-$version"

say() { printf 'setup-chain: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-amd64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-x86_64) platform=darwin-amd64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    *) die "there is no anvil for $(uname -s) on $(uname -m); set SUBROSA_ANVIL to one of your own" ;;
esac
anvil="$home/node_modules/@foundry-rs/anvil-$platform/bin/anvil"

# Whether the file at $1 is the anvil that was reviewed.
is_genuine() {
    [ -x "$1" ] || return 1
    if [ "$platform" = linux-amd64 ]; then
        [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$linux_amd64_sha256" ]
    else
        # No digest is pinned for this platform: npm has checked the one that its registry gives.
        "$1" --version | grep -q "$version"
    fi
}

if is_genuine "$anvil"; then
    say "anvil $version is in the cache"
    exit 0
fi

command -v npm >/dev/null || die "npm is missing; install Node 20 or later"
say "installing anvil $version from npm into $home (44 MB)"
mkdir -p "$cache"
# Built beside its place and moved there whole, so that an interrupted run leaves nothing half done.
staging="$(mktemp -d "$cache/npm-foundry.XXXXXX")"
trap 'rm -rf "$staging"' EXIT
npm install --prefix "$staging" --no-save --no-audit --no-fund --ignore-scripts --loglevel error \
    "@foundry-rs/anvil@$version" >&2
is_genuine "$staging/node_modules/@foundry-rs/anvil-$platform/bin/anvil" ||
    die "npm delivered another anvil $version than the one that was reviewed"
rm -rf "$home"
mv "$staging" "$home"
chmod 755 "$home"
trap - EXIT
say "anvil $version is ready"
