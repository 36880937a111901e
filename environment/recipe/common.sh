# The variables above are this environment's; what follows is the same for all.
# Output: lines "::step N/M what" and, on failure, a last line
# "::error what | hint" with exit code 4; everything else is the tools' own.

step() {
	printf '::step %s\n' "$1"
}

# fail WHAT HINT: the last words.
fail() {
	printf '\n::error %s | %s\n' "$(plain "$1")" "$(plain "$2")"
	exit 4
}

# plain TEXT: one line, without the bar that separates what from hint.
plain() {
	printf '%s' "$1" | tr '\n\r\t|' '   /' | cut -c 1-600
}

# keep COMMAND...: runs it, shows its output as it comes and keeps it in $work/log.
keep() {
	{
		"$@" </dev/null 2>&1
		echo "$?" >"$work/code"
	} 2>&1 | tee "$work/log" 2>/dev/null
	code=
	read -r code <"$work/code"
	case $code in
	'' | *[!0-9]*) code=1 ;; # the disk is full, so that even this could not be written
	esac
	return "$code"
}

# explain WHAT HINT: the tool failed; says why, in its own words where they are clear.
explain() {
	if grep -q -i -e 'no space left on device' -e 'disk quota exceeded' -e 'os error 28' "$work/log" || disk_full; then
		fail "no disk space left while $1" "free some space on the disk of $prefix ($(free_space) KiB are free)"
	fi
	why=$(last_line "$network_words")
	if [ -n "$why" ]; then
		fail "the package index cannot be reached: $why" "check the network and the proxy, or name a reachable index (PIP_INDEX_URL, UV_DEFAULT_INDEX, conda channels)"
	fi
	for words in 'no matching distribution|because|no candidates|nothing provides|NotFoundError|does not exist' '^ *(error|fatal|critical)|× |╰─▶' .; do
		why=$(last_line "$words")
		[ -z "$why" ] || break
	done
	fail "$1 failed: $why" "$2"
}

network_words='NewConnectionError|connection refused|connection broken|connection reset|name resolution|name or service not known|could not resolve host|network is unreachable|no route to host|ConnectTimeout|ReadTimeout|operation timed out|ProxyError|dns error|tcp connect error|error sending request|client error \(connect\)|CondaHTTPError|SSLError|CERTIFICATE_VERIFY_FAILED'

# last_line WORDS: the last line of the kept output that has one of the words,
# without the decoration that tools put before it.
last_line() {
	tr '\r' '\n' <"$work/log" | grep -i -E "$1" | grep -v '^ *$' | tail -n 1 |
		sed -e 's/^ *//' -e 's/^[Ee][Rr][Rr][Oo][Rr]:* *//' -e 's/^cause: *//' -e 's/^× //' -e 's/^╰─▶ //' -e 's/^critical *//' -e 's/^libmamba *//' | cut -c 1-400
}

free_space() {
	df -kP "$prefix" 2>/dev/null | tail -n 1 | awk '{ print $4 }'
}

disk_full() {
	free=$(free_space)
	[ -n "$free" ] && [ "$free" -lt 64 ]
}

# clean: nothing stays of what did not become whole.
clean() {
	rm -rf "$work"
	[ -f "$prefix/runner-ready.json" ] || rm -rf "$prefix"
}

# start: nothing of an earlier try stays; $work is ours until the end.
start() {
	umask 022
	unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV VIRTUAL_ENV CONDA_PREFIX
	export PYTHONNOUSERSITE=1
	work=$prefix.making
	rm -rf "$prefix" "$work" || fail "cannot remove what an earlier try left at $prefix" "check who owns it"
	why=$(mkdir -p "$work" 2>&1) || fail "cannot make a directory for the environment: $why" "check the permissions and the space of the disk"
	chmod 700 "$work" # requirements may hold the login of an index
	trap clean EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# version_word TEXT: the first word that begins with a digit.
version_word() {
	printf '%s\n' "$1" | tr ' ' '\n' | grep '^[0-9]' | head -n 1 | tr -cd '0-9A-Za-z.+-'
}

# python_version PYTHON: prints for example 3.11.7; fails when it does not run.
python_version() {
	"$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null </dev/null
}

# finish: the ready file comes last and whole, after everything it vouches for.
finish() {
	step "$1 recording what was installed"
	if ! {
		printf '{"kind":"%s","digest":"%s","tool":"%s","tool_version":"%s",' "$kind" "$digest" "$tool_name" "$tool_version"
		printf '"python_version":"%s","made_at":"%s"}\n' "$(python_version "$prefix/bin/python")" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
	} >"$prefix/runner-ready.json.new"; then
		fail "cannot write into $prefix" "check the space of the disk"
	fi
	sync -f "$prefix" 2>/dev/null || sync
	mv "$prefix/runner-ready.json.new" "$prefix/runner-ready.json" || fail "cannot write into $prefix" "check the space of the disk"
	sync "$prefix" 2>/dev/null || true
}

# pip_for_uv: uv has variables of its own; what the user set for pip counts too.
pip_for_uv() {
	if grep -q -e '^-i ' -e '^--index-url ' -e '^--pypi-url ' "$work/requirements.txt"; then
		unset UV_DEFAULT_INDEX UV_INDEX_URL # what the file says wins, as with pip
	elif [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] && [ -n "${PIP_INDEX_URL:-}" ]; then
		export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
	fi
	if [ -z "${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-}" ] && [ -n "${PIP_EXTRA_INDEX_URL:-}" ]; then
		export UV_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL"
	fi
	if [ -z "${UV_FIND_LINKS:-}" ] && [ -n "${PIP_FIND_LINKS:-}" ]; then
		UV_FIND_LINKS=$(printf '%s' "$PIP_FIND_LINKS" | tr ' ' ',')
		export UV_FIND_LINKS
	fi
	if [ -z "${UV_NO_INDEX:-}" ] && [ -n "${PIP_NO_INDEX:-}" ]; then
		export UV_NO_INDEX="$PIP_NO_INDEX"
	fi
	if [ -z "${UV_INSECURE_HOST:-}" ] && [ -n "${PIP_TRUSTED_HOST:-}" ]; then
		export UV_INSECURE_HOST="$PIP_TRUSTED_HOST"
	fi
	if [ -z "${SSL_CERT_FILE:-}" ] && [ -n "${PIP_CERT:-}" ]; then
		export SSL_CERT_FILE="$PIP_CERT"
	fi
	export UV_NO_PROGRESS=1 UV_NO_WRAP=1
}

# install_pip STEP: puts the requirements into $prefix, with uv when it is there.
install_pip() {
	step "$1 installing $packages"
	set -- -r "$work/requirements.txt"
	if [ -s "$work/constraints.txt" ]; then
		set -- "$@" -c "$work/constraints.txt"
	fi
	if [ -n "$uv" ]; then
		pip_for_uv
		keep "$uv" pip install --python "$prefix/bin/python" "$@"
	else
		keep "$prefix/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@"
	fi || explain "installing the packages" "check the names and the versions in the spec"
}

# freeze: prints the exact versions of what pip installed.
freeze() {
	if [ -n "$uv" ]; then
		"$uv" pip freeze --python "$prefix/bin/python" 2>/dev/null </dev/null
	else
		"$prefix/bin/python" -m pip freeze --disable-pip-version-check 2>/dev/null </dev/null
	fi
}
