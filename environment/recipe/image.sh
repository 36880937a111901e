#!/bin/sh
# Gives the base image a Python that can make virtual environments, when it has
# none and its package manager can.
set -u

fail() {
	printf '\n::error %s | %s\n' "$1" "$2"
	exit 4
}

enough() {
	command -v python3 >/dev/null 2>&1 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1
}

if enough; then
	exit 0
fi
if [ "${1:-}" = fetched ] && command -v uv >/dev/null 2>&1; then
	exit 0 # uv brings the Python
fi
printf 'the base image has no Python with venv; installing it\n'
if command -v apt-get >/dev/null 2>&1; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates && rm -rf /var/lib/apt/lists/*
elif command -v apk >/dev/null 2>&1; then
	apk add --no-cache python3 py3-pip
elif command -v dnf >/dev/null 2>&1; then
	dnf install -y python3 python3-pip && dnf clean all
elif command -v microdnf >/dev/null 2>&1; then
	microdnf install -y python3 python3-pip && microdnf clean all
else
	fail 'the base image has no Python and no package manager known here (apt-get, apk, dnf)' 'use a base image with python3 and its venv module'
fi || fail 'the base image has no Python and installing it failed' 'see the output above; or use a base image with python3 and its venv module'
enough || fail 'the base image has no usable Python after installing it' 'use a base image with python3 and its venv module'
