#!/bin/sh
# Installs rapid-mlx into a folder of its own, with the pip of a Python 3.10 or
# newer. The program runs without Python.
#
#   sh install.sh [--prefix DIR] [--wheel FILE] [--version X.Y.Z] [--python PY]
#                 [--dry-run]
#   sh install.sh --uninstall [--models] [--prefix DIR] [--dry-run]
#
# PREFIX (~/.local) gets lib/rapid-mlx (everything) and bin/rapid-mlx (a link).
set -eu

VERSION=0.1.0
PACKAGE=rapid-mlx
OLDEST_PYTHON=10 # of 3.x
OLDEST_GLIBC=35  # of 2.x

say() { printf '%s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
  exit 1
}

usage() {
  say "usage: install.sh [--prefix DIR] [--wheel FILE] [--version X.Y.Z] [--python PY] [--dry-run]"
  say "       install.sh --uninstall [--models] [--prefix DIR] [--dry-run]"
}

# What this machine is, or why it will not do.
look_at_machine() {
  os=$(uname -s)
  cpu=$(uname -m)
  case $os/$cpu in
    Linux/x86_64 | Linux/aarch64) ;;
    Darwin/arm64) ;;
    Darwin/*) fail "this is a Mac without Apple silicon ($cpu)" "MLX needs an M1 or newer" ;;
    *) fail "there is no rapid-mlx for $os on $cpu" "Linux on x86-64 or arm64, macOS on Apple silicon" ;;
  esac
  if [ "$os" = Linux ]; then
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || true)
    minor=${libc#glibc 2.}
    case $libc in
      "glibc 2."*) [ "${minor%%.*}" -ge $OLDEST_GLIBC ] ||
        fail "this system's C library is too old: $libc, glibc 2.$OLDEST_GLIBC or newer is needed" \
          "Debian 12, Ubuntu 22.04 and newer have it; or build it here: docs/BUILD.md" ;;
      *) fail "this system has no GNU C library (musl?)" "MLX's Linux packages need glibc 2.$OLDEST_GLIBC or newer" ;;
    esac
    machine="Linux $cpu ($libc)"
  else
    release=$(sw_vers -productVersion)
    [ "${release%%.*}" -ge 14 ] || fail "macOS $release is too old: 14 or newer is needed"
    machine="macOS $release $cpu"
  fi
}

# minor PYTHON: N of its version 3.N, or nothing
minor() { "$1" -c 'import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)' 2>/dev/null || true; }

# Sets $python to the first that is new enough and has pip.
find_python() {
  old=
  without_pip=
  for candidate in ${wanted_python:-python3 python3.14 python3.13 python3.12 python3.11 python3.10}; do
    found=$(minor "$candidate")
    [ -n "$found" ] || continue
    if [ "$found" -lt $OLDEST_PYTHON ]; then
      old=${old:-"$candidate is Python 3.$found"}
    elif ! "$candidate" -m pip --version >/dev/null 2>&1; then
      without_pip=${without_pip:-$candidate}
    else
      python=$candidate
      python_version=3.$found
      return
    fi
  done
  case $os in
    Darwin) get="brew install python@3.12, then run this again" ;;
    *) get="apt-get install python3-pip (or your system's like), then run this again" ;;
  esac
  [ -z "$without_pip" ] || fail "$without_pip has no pip" "$get"
  [ -z "$old" ] || fail "Python is too old: $old, 3.$OLDEST_PYTHON or newer is needed" "$get"
  fail "there is no Python 3.$OLDEST_PYTHON or newer${wanted_python:+ at $wanted_python}" "$get"
}

# Nothing of somebody else's is overwritten or removed.
look_at_prefix() {
  if [ -e "$tree" ] && [ ! -f "$mark" ]; then
    fail "$tree is there, and not of this script's making" "choose another --prefix, or move it away"
  fi
  if [ -e "$link" ] || [ -h "$link" ]; then
    [ "$(readlink "$link" || true)" = "$target" ] ||
      fail "$link is there, and not of this script's making" "choose another --prefix, or move it away"
  fi
}

# make_folder DIR: notes in $made those that were not there before
make_folder() {
  [ -d "$1" ] && return
  make_folder "$(dirname "$1")"
  mkdir "$1"
  made="$1
$made"
}

# The folders that were made for it, when nothing is in them.
remove_made() {
  printf '%s\n' "$made" | while read -r folder; do
    [ -z "$folder" ] || rmdir "$folder" 2>/dev/null || true
  done
}

run_pip() { PIP_ROOT_USER_ACTION=ignore "$python" -m pip --quiet --disable-pip-version-check "$@"; }

install() {
  look_at_machine
  find_python
  look_at_prefix
  source=${wheel:-"$PACKAGE==$VERSION"}
  say "This installs rapid-mlx on $machine:"
  say "  from     ${wheel:-"$PACKAGE $VERSION on PyPI"}, with MLX, by $python (Python $python_version)"
  say "  program  $tree, about 60 MB"
  say "  command  $link"
  [ ! -f "$mark" ] || say "  in place of the one that is there"
  if [ $dry_run = yes ]; then
    say "Nothing was done (--dry-run)."
    return
  fi

  made=
  [ ! -f "$mark" ] || made=$(sed 1d "$mark")
  make_folder "$prefix/lib"
  make_folder "$prefix/bin"
  new=$prefix/lib/.$PACKAGE.new
  rm -rf "$new" "$new.wheel"
  trap 'rm -rf "$new" "$new.wheel"; remove_made' EXIT
  trap 'exit 1' INT TERM HUP
  if [ -z "$wheel" ]; then
    # Looked at before it may bring anything: the name could be another's.
    run_pip download --no-deps --only-binary=:all: -d "$new.wheel" "$source" ||
      fail "pip has no $source for this machine" "build a wheel (make wheel) and name it: --wheel FILE"
    wheel=$(echo "$new.wheel"/*)
    case $wheel in
      *-any.whl) fail "$source is another project's: it has no program for $os" "build a wheel (make wheel) and name it: --wheel FILE" ;;
    esac
  fi
  # Into a folder: no environment is needed, and none is touched.
  run_pip install --no-compile --only-binary=:all: --target "$new" "$wheel" ||
    fail "pip could not install $wheel" "its reason stands above"
  # What only Python programs or builds need of MLX.
  rm -rf "$new/mlx/include" "$new/mlx/share"
  find "$new/mlx" -maxdepth 1 -type f -name '*.so' -exec rm {} +
  told=$("$new/bin/$PACKAGE" version) ||
    fail "what was installed does not run here" "install from a wheel of this project: --wheel FILE"
  printf '%s\n%s\n' "$prefix" "$made" > "$new/share/$PACKAGE/prefix"
  rm -rf "$tree"
  mv "$new" "$tree"
  ln -sf "$target" "$link"
  say "Installed: $told"
  case :$PATH: in
    *:"$prefix/bin":*) say "Next: rapid-mlx serve" ;;
    *) say "Next: export PATH=\"$prefix/bin:\$PATH\"; rapid-mlx serve" ;;
  esac
}

uninstall() {
  [ -f "$mark" ] || fail "there is no rapid-mlx of this script's making in $prefix" "name its --prefix"
  if [ $program_only = no ]; then
    # The program knows what else it keeps; it comes back here.
    set -- uninstall --yes
    [ $models = no ] || set -- "$@" --models
    [ $dry_run = no ] || set -- "$@" --dry-run
    "$tree/bin/$PACKAGE" "$@" && return
    say "The program does not run; only itself will be removed."
  fi
  look_at_prefix
  if [ $dry_run = yes ]; then
    say "  removes  $tree, $link"
    return
  fi
  made=$(sed 1d "$mark")
  rm -rf "$tree"
  rm -f "$link"
  remove_made
  say "Removed: $tree, $link"
}

main() {
  prefix=${HOME:-/usr}/.local
  wheel=
  wanted_python=
  dry_run=no
  action=install
  models=no
  program_only=no
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix | --wheel | --version | --python)
        [ $# -ge 2 ] || { usage >&2; exit 2; }
        case $1 in
          --prefix) prefix=$2 ;;
          --wheel) wheel=$2 ;;
          --version) VERSION=$2 ;;
          --python) wanted_python=$2 ;;
        esac
        shift ;;
      --dry-run) dry_run=yes ;;
      --uninstall) action=uninstall ;;
      --models) models=yes ;;
      --program-only) program_only=yes ;; # the program's own call
      -h | --help) usage; exit 0 ;;
      *) printf 'error: unknown option %s\n' "$1" >&2; usage >&2; exit 2 ;;
    esac
    shift
  done
  case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
  [ -z "$wheel" ] || [ -f "$wheel" ] || fail "there is no file $wheel"
  tree=$prefix/lib/$PACKAGE
  mark=$tree/share/$PACKAGE/prefix
  link=$prefix/bin/$PACKAGE
  target=../lib/$PACKAGE/bin/$PACKAGE
  $action
}

# Read whole before it runs: it may come through a pipe, or remove itself.
main "$@"
exit 0
