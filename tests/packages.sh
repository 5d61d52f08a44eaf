#!/bin/sh
# Debian's packages that the tests need, or with `image` those that build and run the image: installs what is missing when
# run by root, else says what to install.
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
if [ "${1-}" = image ]; then
    need buildah buildah             # builds it
    need mmdebstrap mmdebstrap       # makes the stand-in base
    need runc runc                   # runs it
    need umoci umoci                 # unpacks it for runc
else
    need busybox busybox             # the shell and tools of the lab's ESXi hosts
    need dash dash                   # the second shell that the wrapper must run under
    need bwrap bubblewrap            # their file system
    need sshd openssh-server         # their SSH server
    need xmllint libxml2-utils       # judges XML
    need ar binutils                 # judges VIBs
    need prometheus prometheus       # scrapes the lab; its promtool judges the alerts
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "packages: these of Debian's packages are needed: apt-get install$missing" >&2
    exit 1
fi
echo "packages: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update >/dev/null
# shellcheck disable=SC2086  # a list of words
apt-get -qq install -y --no-install-recommends $missing >/dev/null
