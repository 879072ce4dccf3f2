#!/usr/bin/env bash
# A base image for the Dockerfile from Debian packages, for machines that reach no image registry.
# Needs podman and mmdebstrap.
set -euo pipefail

usage="usage: $0 [NAME [SUITE [MIRROR]]]   (qbsync-base trixie, and the mirror of mmdebstrap's choice)"
case "${1-}" in -h | --help) echo "$usage"; exit 0 ;; esac

name=${1:-qbsync-base}
suite=${2:-trixie}
mirror=${3-}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Documentation and the package lists stay out; certificates and time zones are needed.
mmdebstrap --variant=minbase --include=python3-venv,ca-certificates,tzdata \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*' \
  "$suite" "$folder/base.tar" ${mirror:+"$mirror"}

podman import --change 'ENV LANG=C.UTF-8' "$folder/base.tar" "$name"
