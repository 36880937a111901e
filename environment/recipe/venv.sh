# matches VERSION: whether a Python of this version is what is wanted.
matches() {
	case $1. in
	"$wanted".*) return 0 ;;
	esac
	[ -z "$wanted" ]
}

# find_python: sets python to an interpreter of the wanted version, or to
# nothing, and there to what was seen.
find_python() {
	python=
	there=
	set -- "$interpreter"
	if [ -n "$wanted" ] && [ "$interpreter" = python3 ]; then
		short=$(printf '%s' "$wanted" | cut -d . -f 1-2)
		set -- "$interpreter" "python$short"
	fi
	for candidate; do
		version=$(python_version "$candidate") || continue
		there="$there $candidate is $version;"
		if matches "$version"; then
			python=$("$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null </dev/null)
			return
		fi
	done
	if [ "$interpreter" = python3 ]; then
		for candidate in python3.8 python3.9 python3.10 python3.11 python3.12 python3.13 python3.14 python3.15; do
			version=$(python_version "$candidate") && there="$there $candidate is $version;"
		done
	fi
}

main() {
	start
	write_files
	uv=$(command -v uv 2>/dev/null) || uv=
	step "1/$steps looking for Python${wanted:+ $wanted}"
	find_python
	if [ -z "$python" ] && { [ -z "$uv" ] || [ "$interpreter" != python3 ]; }; then
		if [ "$interpreter" != python3 ] && [ -z "$there" ]; then
			fail "the interpreter $interpreter is not there or does not run" "check interpreter_path, or leave it out to use python3"
		fi
		if [ -z "$there" ]; then
			fail "no python3 found" "install Python 3, or uv (which fetches one), on the machine"
		fi
		fail "Python $wanted is wanted and not found" "there is:$there install Python $wanted, or uv (which fetches it), or change python.version"
	fi

	step "2/$steps making the virtual environment"
	if [ -n "$uv" ]; then
		tool_name=uv
		tool_version=$(version_word "$("$uv" --version 2>/dev/null </dev/null)")
		pip_for_uv
		keep "$uv" venv --python "${python:-${wanted:-3}}" "$prefix" ||
			explain "making the virtual environment${wanted:+ with Python $wanted}" "check that uv can find or fetch this Python: uv python list"
	else
		tool_name=pip
		"$python" -c 'import venv, ensurepip' 2>/dev/null </dev/null ||
			fail "$python has no venv module" "install it (Debian, Ubuntu: apt install python3-venv), or uv"
		keep "$python" -m venv "$prefix" || explain "making the virtual environment" "try it by hand: $python -m venv DIRECTORY"
		tool_version=$(version_word "$("$prefix/bin/python" -m pip --version 2>/dev/null </dev/null)")
	fi

	if [ -s "$work/requirements.txt" ]; then
		install_pip "3/$steps"
	fi
	{
		printf '# python %s\n' "$(python_version "$prefix/bin/python")"
		freeze
	} >"$prefix/runner-lock.txt" || fail "cannot write the lock" "check the space of the disk of $prefix"
	finish "$steps/$steps"
}

main
