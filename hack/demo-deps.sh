#!/bin/sh
# What `make demo` needs besides Go: uv, or a Python that can make virtual
# environments. As root on a Debian or Ubuntu it is installed when missing.
set -eu
if command -v uv >/dev/null 2>&1; then exit 0; fi
if command -v python3 >/dev/null 2>&1 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv
	exit 0
fi
echo "error: no Python that can make virtual environments" >&2
echo "hint: install python3 and python3-venv, or uv" >&2
exit 1
