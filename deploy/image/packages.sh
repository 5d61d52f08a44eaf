#!/bin/sh
# Debian's packages that build and run the image here: installs those that are missing when run by root, else says what to install.
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
need buildah buildah             # builds it
need mmdebstrap mmdebstrap       # makes the stand-in base
need runc runc                   # runs it
need umoci umoci                 # unpacks it for runc
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "packages: the image needs these of Debian's packages: apt-get install$missing" >&2
    exit 1
fi
echo "packages: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update >/dev/null
# shellcheck disable=SC2086  # a list of words
apt-get -qq install -y --no-install-recommends $missing >/dev/null
