#!/usr/bin/env bash
# prong.bash - for bash: source it ('. prong.bash' finds it in $PATH).
#
#   env_prong ...        prong, whose jobs know this shell's functions, aliases, arrays, unexported
#                        variables and options.  --env NAME: only what has that name (repeatable);
#                        --env _: all but the names in ~/.parallel/ignored_vars (--record-env).
#                        --session: leave out what is defined now; --end-session: undo that.
#   parset VAR ...       run prong; VAR becomes an array of the jobs' outputs.  With several names
#                        ("a b" or a,b) each gets one output; an associative array gets them by
#                        their values.
#   env_parset VAR ...   both.
#
# The definitions go by an unlinked file to which jobs have a descriptor, so they may be of any
# size and nothing is left behind.  PRONG names another program than 'prong'.

# Names of what is defined now, one a line: "v NAME", "f NAME", "a NAME".
_prong_names() {
	compgen -v | sed 's/^/v /' || : # none is no error
	compgen -A function | sed 's/^/f /' || : # none is no error
	compgen -a | sed 's/^/a /' || : # none is no error
}

# Bash sets these itself, or they are ours.
_prong_own=" _ BASHOPTS BASHPID BASH_ALIASES BASH_ARGC BASH_ARGV BASH_ARGV0 BASH_CMDS BASH_COMMAND \
BASH_ENV BASH_EXECUTION_STRING BASH_LINENO BASH_LOADABLES_PATH BASH_REMATCH BASH_SOURCE \
BASH_SUBSHELL BASH_VERSINFO BASH_VERSION COMP_CWORD COMP_KEY COMP_LINE COMP_POINT COMP_TYPE \
COMP_WORDBREAKS COMP_WORDS COPROC DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME FUNCNEST \
GROUPS HISTCMD HOSTNAME HOSTTYPE LINENO MACHTYPE MAPFILE OLDPWD OPTARG OPTERR OPTIND OSTYPE \
PIPESTATUS PPID PWD RANDOM READLINE_LINE READLINE_POINT REPLY SECONDS SHELL SHELLOPTS SHLVL \
SRANDOM UID PRONG_IGNORED_NAMES "

# Print what makes another bash know the names on standard input.
_prong_definitions() {
	local _prong_kind _prong_name
	# extglob and its like come first: functions may be written with it
	shopt -p | grep -Ev ' (login_shell|restricted_shell)$' || :
	echo 'shopt -s expand_aliases'
	while read -r _prong_kind _prong_name; do
		case $_prong_kind in
		v)
			case $_prong_own in *" $_prong_name "*) continue ;; esac
			[[ $_prong_name == _prong_* ]] || declare -p "$_prong_name" 2>/dev/null || :
			;;
		f) declare -f -- "$_prong_name" || : ;;
		a) alias -- "$_prong_name" || : ;;
		esac
	done
	set +o | grep -Ev ' (emacs|vi|monitor|history|histexpand|noexec|onecmd|privileged|posix|verbose)$' || :
}

# Standard input: names.  Keep those that --env asks for ("$@"), or all but the ignored.
_prong_choose() {
	local line wanted=" $* " ignored
	ignored=$'\n'${PRONG_IGNORED_NAMES-}$'\n'
	if [[ $wanted == *' _ '* ]]; then
		ignored+=$(sed 's/.*/v &\nf &\na &/' "${PARALLEL_HOME:-$HOME/.parallel}/ignored_vars")$'\n' ||
			return
	fi
	while IFS= read -r line; do
		if [[ $wanted == '  ' || $wanted == *' _ '* ]]; then
			[[ $ignored == *$'\n'"$line"$'\n'* ]] || printf '%s\n' "$line"
		elif [[ $wanted == *" ${line#* } "* ]]; then
			printf '%s\n' "$line"
		fi
	done
}

# The options before the command that are ours: into _prong_wanted; the rest is left for prong.
_prong_scan() {
	while (($#)); do
		case $1 in
		--env)
			(($# > 1)) || return 0
			_prong_wanted+=("$2")
			shift
			;;
		--env=*) _prong_wanted+=("${1#--env=}") ;;
		--session | --end-session | --record-env) _prong_action=$1 ;;
		-- | :::*) return 0 ;;
		esac
		shift
	done
}

env_prong() {
	local _prong_wanted=() _prong_action='' _prong_file _prong_fd _prong_status=0
	_prong_scan "$@"
	case $_prong_action in
	--session)
		PRONG_SESSIONS+=("${PRONG_IGNORED_NAMES-}")
		PRONG_IGNORED_NAMES=$(_prong_names; echo 'v PRONG_SESSIONS'; echo 'v PRONG_IGNORED_NAMES')
		return
		;;
	--end-session)
		[[ -n ${PRONG_SESSIONS[*]+x} ]] || { echo 'env_prong: no session to end' >&2; return 255; }
		PRONG_IGNORED_NAMES=${PRONG_SESSIONS[-1]}
		unset 'PRONG_SESSIONS[-1]'
		return
		;;
	--record-env)
		command "${PRONG:-prong}" --record-env || return
		_prong_names | sed 's/^. //' | sort -u >> "${PARALLEL_HOME:-$HOME/.parallel}/ignored_vars"
		return
		;;
	esac
	_prong_file=$(mktemp) || return 255
	exec {_prong_fd}< "$_prong_file"
	{
		# the job's shell closes it, and its children get the user's $BASH_ENV again
		printf 'exec %d<&-\n' "$_prong_fd"
		if [[ -n ${BASH_ENV+x} ]]; then
			printf 'BASH_ENV=%q\n' "$BASH_ENV"
		else
			echo 'unset BASH_ENV'
		fi
		_prong_names | _prong_choose ${_prong_wanted[@]+"${_prong_wanted[@]}"} | _prong_definitions
	} > "$_prong_file"
	rm -f -- "$_prong_file"
	BASH_ENV=/proc/self/fd/$_prong_fd PARALLEL_SHELL=${BASH:-bash} command "${PRONG:-prong}" "$@" ||
		_prong_status=$?
	exec {_prong_fd}<&-
	return "$_prong_status"
}

# _prong_parset COMMAND VAR ARGS...
_prong_parset() {
	local _prong_run=$1 _prong_to=$2 _prong_dir _prong_list _prong_status=0 _prong_i=0 _prong_line
	local -a _prong_vars _prong_outputs=() _prong_keys=()
	shift 2
	IFS=$' ,\t\n' read -r -d '' -a _prong_vars <<< "$_prong_to" || : # it ends without a NUL
	for _prong_line in ${_prong_vars[@]+"${_prong_vars[@]}"}; do
		[[ $_prong_line =~ ^[A-Za-z_][A-Za-z0-9_]*$ && $_prong_line != _prong_* ]] || {
			printf "parset: '%s' is no name for a variable\n" "$_prong_line" >&2
			return 255
		}
	done
	((${#_prong_vars[@]})) || { echo 'parset: write the name of a variable first' >&2; return 255; }
	_prong_dir=$(mktemp -d) || return 255
	"$_prong_run" --tmpdir "$_prong_dir" --files -k --tagstring '{}' "$@" > "$_prong_dir/list" ||
		_prong_status=$?
	while IFS= read -r _prong_line; do
		_prong_keys+=("${_prong_line%$'\t'*}")
		_prong_list=${_prong_line##*$'\t'}
		_prong_outputs+=("$(tr -d '\0' < "$_prong_list")")
	done < "$_prong_dir/list"
	rm -rf -- "$_prong_dir"
	if ((${#_prong_vars[@]} > 1)); then
		if ((${#_prong_outputs[@]} > ${#_prong_vars[@]})); then
			printf 'parset: %d jobs for %d variables\n' "${#_prong_outputs[@]}" "${#_prong_vars[@]}" >&2
			return 255
		fi
		for _prong_i in "${!_prong_outputs[@]}"; do
			printf -v "${_prong_vars[_prong_i]}" %s "${_prong_outputs[_prong_i]}"
		done
		return "$_prong_status"
	fi
	local -n _prong_ref=${_prong_vars[0]}
	if [[ $(declare -p "${_prong_vars[0]}" 2>/dev/null) == 'declare -A'* ]]; then
		_prong_ref=()
		for _prong_i in "${!_prong_outputs[@]}"; do
			_prong_ref[${_prong_keys[_prong_i]}]=${_prong_outputs[_prong_i]}
		done
	else
		unset -v "${_prong_vars[0]}"
		_prong_ref=(${_prong_outputs[@]+"${_prong_outputs[@]}"})
	fi
	return "$_prong_status"
}

_prong_plain() { command "${PRONG:-prong}" "$@"; }
parset() { _prong_parset _prong_plain "$@"; }
env_parset() { _prong_parset env_prong "$@"; }
