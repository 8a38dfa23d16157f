# shellcheck shell=bash
# Kernels from Debian: which package is a series' newest, and what QEMU needs of it; sourced after archive.sh.
# shellcheck disable=SC2034,SC2154 # shared with what sources this

# Series of which Debian still has image and modules, and those of which only the image is left.
series_whole="5.10 6.1 6.12 6.16 6.17 6.18 7.2 7.3"
series_bare="6.19 7.0 7.1"
flavour=cloud-amd64
# What must be in the kernel before the root's disk can be read.
boot_modules="virtio_pci virtio_blk overlay ext4 crc32c_generic"

# Packages of a series as lines "RELEASE PACKAGES…", newest first. From 6.19 on linux-image is a tiny package that only
# depends on linux-binary and linux-modules.
kernel_candidates() { # SERIES
  in_archive apt-cache dumpavail | awk -v series="${1//./\\.}" -v end="-$flavour" '
    /^Package: / {package = $2}
    /^Size: / && package ~ "^linux-(image|binary|modules)-" series "\\.[0-9].*" end "$" {size[package] = $2}
    END {
      for (package in size) {
        release = package
        sub("^linux-(image|binary|modules)-", "", release)
        if (package ~ "^linux-image" && size[package] > 1000000) print release, package
        if (package ~ "^linux-binary") {
          modules = "linux-modules-" release
          if (modules in size) print release, package, modules, "linux-base-" release
          else bare[release] = package
        }
      }
      # Last, and so only if nothing else is there.
      for (release in bare) print "0~" release, bare[release]
    }' | sort -Vr | sed 's/^0~//'
}

# Makes $store/SERIES/{vmlinuz,config,initrd,package} and modules.img where there are modules.
kernel_prepare() { # SERIES
  local place=$store/$1 line release package
  [[ ! -e $place/package ]] || return 0
  archive_open
  while read -r line; do
    # shellcheck disable=SC2086 # the words of one candidate
    set -- "${place##*/}" $line
    release=$2
    shift 2
    if archive_fetch "$@"; then break; fi
    release=
  done < <(kernel_candidates "$1")
  [[ -n ${release-} ]] || { echo "kernel-matrix: Debian's archive has no kernel $1 any more" >&2; return 1; }
  rm -rf "$place"
  mkdir -p "$place/files"
  for package in "$@"; do dpkg-deb -x "$store/debs/$package.deb" "$place/files"; done
  find "$place/files" -name 'vmlinuz*' -type f -exec mv {} "$place/vmlinuz" \;
  find "$place/files" \( -name 'config-*' -o -path '*/modules/*/config' \) -type f -exec cp {} "$place/config" \;
  kernel_modules "$place" "$release"
  kernel_initrd "$place" "$release"
  dpkg-deb -f "$store/debs/$1.deb" Version > "$place/package.new"
  mv "$place/package.new" "$place/package"
  rm -rf "$place/files"
  for package in "$@"; do rm "$store/debs/$package.deb"; done
}

# The modules as an image, uncompressed: under emulation that is quicker to load.
kernel_modules() { # PLACE RELEASE
  local files=$1/files
  if [[ -d $files/usr/lib/modules ]]; then
    mkdir -p "$files/lib"
    mv "$files/usr/lib/modules" "$files/lib/modules"
  fi
  [[ -d $files/lib/modules/$2/kernel ]] || return 0
  find "$files/lib/modules" -name '*.ko.xz' -print0 | xargs -0 -r -n50 xz -d
  find "$files/lib/modules" -name '*.ko.zst' -print0 | xargs -0 -r -n50 zstd -q -d --rm
  depmod -b "$files" "$2"
  mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$files/lib/modules" "$1/modules.img" \
    "$(($(du -sk "$files/lib/modules" | cut -f1) * 115 / 100 + 8192))k" > /dev/null
}

# A first root of busybox and the few modules that reach the real one.
kernel_initrd() { # PLACE RELEASE
  local root=$1/initrd.root module
  mkdir -p "$root"/{bin,dev,proc,sys,modules,disk,memory,newroot}
  cp "$(command -v busybox)" "$root/bin/busybox"
  install -m 755 "$(dirname "${BASH_SOURCE[0]}")/guest-init" "$root/init"
  for module in $boot_modules; do
    modprobe -d "$1/files" -S "$2" --show-depends "$module" 2> /dev/null || true
  done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' > "$1/boot"
  while read -r module; do cp "$module" "$root/modules/"; done < "$1/boot"
  sed 's|.*/||' "$1/boot" > "$root/modules/order"
  (cd "$root" && find . | cpio -o -H newc --quiet) > "$1/initrd"
  rm -rf "$root" "${1:?}/boot"
}
