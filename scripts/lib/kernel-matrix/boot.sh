# shellcheck shell=bash
# Boots one kernel with one layout in QEMU and says how it ended; sourced after machine.sh.
# shellcheck disable=SC2154 # store and qemu are others'

# Runs the guest to its end; what its cases said is in OUT/said, the kernel's log in OUT/console.
# Prints how it ended: "ended", "panic", "timeout" (after LIMIT seconds) or "died".
guest_run() { # SERIES LAYOUT OUT LIMIT
  local place=$store/$1 out=$3 disks=() memory=1536 number=0 image initrd child status=0
  initrd=$place/initrd
  if [[ -e $place/modules.img ]]; then
    # Without locks: guests share these images, which nobody writes, and user-mode Linux takes locks of its own.
    for image in "root $store/root.img" "payload $store/payload.img" "modules $place/modules.img"; do
      disks+=(-drive "if=none,id=disk$number,format=raw,readonly=on,cache=unsafe,file.locking=off,file=${image#* }"
        -device "virtio-blk-pci,drive=disk$number,serial=${image%% *}")
      number=$((number + 1))
    done
  else
    # No disk driver: root and payload are in memory.
    initrd=$out/initrd memory=3072
    cat "$place/initrd" "$store/bare.cpio" > "$initrd"
  fi
  : > "$out/said"
  timeout -k 5 "$4" "${qemu[@]}" -M q35,usb=off -nodefaults -no-user-config -display none -no-reboot \
    -m $memory -smp 2 -kernel "$place/vmlinuz" -initrd "$initrd" "${disks[@]}" \
    -serial "file:$out/console" -serial "file:$out/said" \
    -append "console=ttyS0 panic=-1 oops=panic quiet loglevel=4 $(guest_settings "$1" "$2") matrix.output=/dev/ttyS1" \
    < /dev/null > "$out/qemu" 2>&1 &
  child=$!
  echo $child > "$out/pid"
  wait $child || status=$?
  rm -f "$out/pid" "$out/initrd"
  guest_ended "$out" $status
}

guest_ended() { # OUT STATUS
  if grep -q 'Kernel panic' "$1/console"; then echo panic
  elif grep -q '^@done' "$1/said"; then echo ended
  elif (($2 == 124)); then echo timeout
  else echo died; fi
}

# What a guest reads on its kernel's command line, of which it has 2048 bytes.
guest_settings() { # SERIES LAYOUT
  local suites=$suites_layout netfilter=$suites_netfilter faults=no
  [[ $2 != v2 ]] || suites=$suites_cgroup
  [[ $1 != uml ]] || suites=$suites_mark netfilter=$suites_mark
  # Without modules there is no iptables.
  [[ -e $store/$1/modules.img ]] || netfilter=
  # Where cgroups are is nothing to most faults, and emulation takes minutes for them.
  if [[ $2 = v2 ]] && ! ((short)); then faults=yes; fi
  echo "matrix.layout=$2 matrix.cgroup=$suites matrix.netfilter=$netfilter matrix.faults=$faults"
}

# Root and payload as an archive for kernels without a disk driver.
bare_prepare() {
  [[ ! -e $store/bare.cpio || $store/payload.img -nt $store/bare.cpio ]] || return 0
  local tree=$store/bare
  rm -rf "$tree"
  mkdir -p "$tree"
  tar cf "$tree/root.tar" -C "$store/root" .
  tar rf "$tree/root.tar" -C "$store" ./payload
  (cd "$tree" && echo root.tar | cpio -o -H newc --quiet) > "$store/bare.cpio"
  rm -rf "$tree"
}
