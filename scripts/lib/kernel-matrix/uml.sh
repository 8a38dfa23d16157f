# shellcheck shell=bash
# User-mode Linux: the kernel without BTF and without a compiler for BPF, as a process of this host; sourced after boot.sh.
# shellcheck disable=SC2154 # store is archive.sh's

# Makes $store/uml/{linux,package} and the modules image; the newest package that this machine's libc can run.
uml_prepare() {
  local place=$store/uml codename release
  [[ ! -e $place/package ]] || return 0
  archive_open
  # shellcheck disable=SC1091
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  archive_fetch "user-mode-linux/$codename"
  rm -rf "$place"
  mkdir -p "$place/files"
  dpkg-deb -x "$store/debs/user-mode-linux.deb" "$place/files"
  find "$place/files" -path '*bin/linux.uml' -type f -exec mv {} "$place/linux" \;
  release=$(basename "$place"/files/usr/lib/uml/modules/*)
  mkdir -p "$place/files/lib"
  mv "$place/files/usr/lib/uml/modules" "$place/files/lib/modules"
  depmod -b "$place/files" "$release"
  kernel_initrd "$place" "$release"
  image_of "$place/files/lib/modules" "$place/modules.img"
  dpkg-deb -f "$store/debs/user-mode-linux.deb" Version > "$place/package.new"
  rm -r "$place/files" "$store/debs/user-mode-linux.deb"
  mv "$place/package.new" "$place/package"
}

# As guest_run.
uml_run() { # LAYOUT OUT LIMIT
  local out=$2 child status=0
  : > "$out/said"
  timeout -k 5 "$3" "$store/uml/linux" mem=1536M ubd0r="$store/root.img" ubd1r="$store/payload.img" \
    ubd2r="$store/uml/modules.img" initrd="$store/uml/initrd" con=null con0=null,fd:1 \
    ssl0=null,fd:3 panic=-1 quiet "$(guest_settings uml "$1")" matrix.output=/dev/ttyS0 \
    < /dev/null > "$out/console" 2>&1 3> "$out/said" &
  child=$!
  echo $child > "$out/pid"
  wait $child || status=$?
  rm -f "$out/pid"
  guest_ended "$out" $status
}
