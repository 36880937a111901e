# find_conda: sets conda to the first tool that is there.
find_conda() {
	for candidate in micromamba mamba conda; do
		conda=$(command -v "$candidate" 2>/dev/null) && return
	done
	for candidate in "${MAMBA_EXE:-}" "${CONDA_EXE:-}" \
		"$HOME/micromamba/bin/micromamba" "$HOME/.local/bin/micromamba" "$HOME/bin/micromamba" \
		"$HOME/miniforge3/bin/mamba" "$HOME/miniforge3/bin/conda" "$HOME/mambaforge/bin/mamba" \
		"$HOME/miniconda3/bin/conda" "$HOME/anaconda3/bin/conda" /opt/conda/bin/mamba /opt/conda/bin/conda; do
		if [ -n "$candidate" ] && [ -x "$candidate" ]; then
			conda=$candidate
			return
		fi
	done
	# What attaching the machine brought, in the directory that environments are
	# in: with its packages there, and nothing outside.
	ours=${prefix%/*/*}/tools
	if [ -x "$ours/micromamba" ]; then
		conda=$ours/micromamba
		export MAMBA_ROOT_PREFIX="$ours/mamba" MAMBA_REGISTER_ENVS=false
		return
	fi
	conda=
}

# explicit: prints the address and MD5 of every conda package, in the form
# that "conda create --file" takes back.
explicit() {
	printf '@EXPLICIT\n'
	for record in "$prefix"/conda-meta/*.json; do
		[ -f "$record" ] || continue
		tr ',{}' '\n\n\n' <"$record" | sed -n -e 's/^ *"url": *"\([^"]*\)".*/url \1/p' -e 's/^ *"md5": *"\([^"]*\)".*/md5 \1/p' |
			awk '$1 == "url" && !url { url = $2 } $1 == "md5" && !md5 { md5 = $2 } END { if (url) print url (md5 ? "#" md5 : "") }'
	done
}

main() {
	HOME=${HOME:-/nonexistent}
	start
	write_files
	uv=$(command -v uv 2>/dev/null) || uv=
	step "1/$steps looking for conda"
	find_conda
	if [ -z "$conda" ]; then
		fail "no conda tool found: micromamba, mamba and conda are not there" "install micromamba (one file, no root needed: see mamba.readthedocs.io) or Miniforge on the machine, or attach it with --install-micromamba; with docker, name an image that has it (mambaorg/micromamba, condaforge/miniforge3); or use python.pip instead of python.conda"
	fi
	tool_name=$(basename "$conda")
	tool_version=$(version_word "$("$conda" --version 2>/dev/null </dev/null | head -n 1)")

	step "2/$steps installing $conda_packages with $tool_name"
	conda_create || explain "making the conda environment" "check the names, the versions and the channels in the spec"

	if [ -s "$work/requirements.txt" ]; then
		if ! "$prefix/bin/python" -c 'import pip' 2>/dev/null </dev/null && [ -z "$uv" ]; then
			fail "the conda environment has pip packages but no pip" "add python and pip to conda's dependencies"
		fi
		if "$prefix/bin/python" -c 'import pip' 2>/dev/null </dev/null; then
			uv=
		fi
		install_pip "3/$steps"
	fi
	{
		explicit
		if [ -s "$work/requirements.txt" ]; then
			printf '# pip\n'
			freeze
		fi
	} >"$prefix/runner-lock.txt" || fail "cannot write the lock" "check the space of the disk of $prefix"
	finish "$steps/$steps"
}

main
