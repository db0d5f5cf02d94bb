#!/bin/bash
# run.sh SOURCE BUILD - a program outside the tree builds and runs by find_package, by pkg-config
# (with link-time optimisation) and by add_subdirectory. Its steps lie in a static library and the
# linker drops what nobody mentions.
set -u
source=$1
build=$2
here=$source/tests/packaging/consumer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
try() {   # try NAME COMMAND...: the command builds, then $program must print 42
  local name=$1
  shift
  if "$@" > "$work/log" 2>&1 && [[ $(cd "$work" && "$program" -o "cache-$name" 2>> "$work/log") == 42 ]]; then
    echo "ok - $name"
  else
    echo "not ok - $name"
    tail -n 30 "$work/log"
    status=1
  fi
}
cmake --install "$build" --prefix "$work/prefix" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }

with_cmake() {
  cmake -G Ninja -S "$here" -B "$work/$1" "${@:2}" &&
    cmake --build "$work/$1" -j 2 --target app
}
with_pkg_config() {
  export PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig:$work/prefix/lib/$(gcc -dumpmachine)/pkgconfig
  local flags
  flags=$(pkg-config --cflags --libs --static stook) || return
  # shellcheck disable=SC2086
  c++ -std=c++20 -O1 -flto "$here"/main.cpp "$here"/steps.cpp $flags -o "$work/lto"
}

program=$work/found/app
try find_package with_cmake found "-DCMAKE_PREFIX_PATH=$work/prefix" -DCMAKE_BUILD_TYPE=Release
program=$work/lto
try pkg-config with_pkg_config
for program in "$work/found/app" "$work/lto"; do   # it starts half as fast again with that and what it brings
  if readelf -d "$program" | grep -q 'NEEDED.*libarchive'; then
    echo "not ok - ${program#"$work/"} loads libarchive, though it exports nothing"
    status=1
  fi
done
program=$work/inside/app
# The library's files are compiled as the dev preset compiles them, so that ccache has them.
export CCACHE_NOHASHDIR=1
try add_subdirectory with_cmake inside "-DSTOOK_SOURCE=$source" \
  -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1" -DCMAKE_COMPILE_WARNING_AS_ERROR=ON \
  -DSTOOK_MUTANTS=ON \
  "-DOPTIONS=-Wall;-Wextra;-Wpedantic;-Wnon-virtual-dtor;-Wno-restrict" \
  -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache)"
exit $status
