# shellcheck shell=bash
# The emulator and the root file system that every guest shares; sourced after archive.sh.
# shellcheck disable=SC2154 # store is archive.sh's

# Sets `qemu` to the words of an emulator that can run both the kernels and Swift.
# QEMU 7.2 spoils flags after cmpxchg16b, which Swift's runtime needs and which then panics some boots of 6.12; 10 is right.
machine_prepare() {
  local version codename
  version=$(qemu-system-x86_64 --version | sed -nE 's/^QEMU emulator version ([0-9]+).*/\1/p')
  qemu=(qemu-system-x86_64)
  if ((version < 10)); then
    if [[ ! -e $store/qemu/done ]]; then
      archive_open
      # shellcheck disable=SC1091
      codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
      rm -rf "$store/qemu"
      mkdir -p "$store/qemu"
      if archive_fetch "qemu-system-x86/$codename-backports" "qemu-system-data/$codename-backports"; then
        dpkg-deb -x "$store/debs/qemu-system-x86.deb" "$store/qemu"
        dpkg-deb -x "$store/debs/qemu-system-data.deb" "$store/qemu"
        rm "$store"/debs/qemu-system-*.deb
        touch "$store/qemu/done"
      else
        echo "kernel-matrix: no newer QEMU in $codename-backports; some boots will panic and are tried again" >&2
      fi
    fi
    if [[ -e $store/qemu/done ]]; then
      qemu=("$store/qemu/usr/bin/qemu-system-x86_64" -L "$store/qemu/usr/share/qemu" -L /usr/share/seabios -L /usr/share/qemu)
    fi
  fi
  # A processor that virtualizes is used if it may be; kvm_pvm, which virtualizes in software, cannot run these kernels.
  if [[ -w /dev/kvm && ! -d /sys/module/kvm_pvm ]] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
    qemu+=(-accel kvm -cpu host)
  else
    qemu+=(-accel 'tcg,thread=multi' -cpu 'max,-la57')
  fi
}

# Makes $store/root.img: this machine's own Debian release, so that what is built here runs there.
root_prepare() {
  [[ ! -e $store/root.img ]] || return 0
  local root=$store/root codename main
  archive_open
  # shellcheck disable=SC1091
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  main=$(archive_uri main)
  rm -rf "$root"
  echo "Making the guests' root ($codename) …" >&2
  debootstrap --variant=minbase \
    --include=iproute2,iptables,nftables,ipset,conntrack,kmod,procps,iputils-ping,libbpf1,libelf1,libstdc++6,busybox-static \
    "$codename" "$root" "$main" > "$store/root.log" 2>&1 || { tail -5 "$store/root.log" >&2; return 1; }
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/*
  mkdir -p "$root/usr/lib/modules" "$root/payload"
  echo guest > "$root/etc/hostname"
  image_of "$root" "$store/root.img.new"
  mv "$store/root.img.new" "$store/root.img"
}

# An ext4 image of a directory; neither mounts nor loop devices are needed.
image_of() { # DIRECTORY IMAGE
  rm -f "$2"
  mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$1" "$2" "$(($(du -sk "$1" | cut -f1) * 120 / 100 + 32768))k" > /dev/null
}
