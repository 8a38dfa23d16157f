# shellcheck shell=bash
# Which layouts and suites a kernel gets, one guest's whole life, and the table's columns; sourced after boot.sh.
# shellcheck disable=SC2034,SC2154 # shared with what sources this

# The suites that say most for the time that emulation takes.
suites_cgroup='EndToEndTests.(SameNamespace|CrossNamespace|Semantics|Change|Datagram|Handshake|ICMP|Identity|LateLabel|RawPacket|StaleSocket|Takeover|UnlabelledChild|Adoption|Agent)Tests/|DatapathTests.SocketDifferentialTests'
# What a layout changes is where cgroups are: on another one than v2 fewer say as much.
suites_layout='EndToEndTests.(SameNamespace|Adoption|Agent)Tests/'
suites_netfilter='EndToEndTests.(Netfilter.*|SameNamespace|CrossNamespace|Semantics|Change|Datagram|Adoption|Agent)Tests/'
# Where there are no types of the kernel's own, the mark view is all that can load, and these suites speak through it anyway.
suites_mark='EndToEndTests.(NetfilterMarkView|SameNamespace)Tests/|DatapathTests.NetfilterObjectTests/'
# Those also say in two minutes that a datapath works at all.
suites_short=$suites_mark
version_short=5.10

plan_list() {
  local version place
  for version in $series_whole $series_bare uml; do
    place=$store/$version
    echo "$version $(cat "$place/package" 2> /dev/null || echo "not fetched yet")"
  done
}

plan_prepare() { # VERSION
  if [[ $1 = uml ]]; then uml_prepare; else kernel_prepare "$1"; fi
  [[ -e $store/$1/modules.img ]] || bare_prepare
}

plan_layouts() { # VERSION SHORT
  if (($2)); then echo v2; return; fi
  case $1 in
    uml) echo v2 ;;
    # Also a host that mounts version 1 alone, where agents mirror it: before and after 5.15, as what net_cls does differs.
    5.10 | 6.1) echo v2 hybrid v1 ;;
    *) echo v2 hybrid ;;
  esac
}

# Runs a guest, once more after a panic, and leaves its rows of the table in PLACE/rows.
plan_run() { # VERSION LAYOUT PLACE LIMIT
  local ended panics=0 started=$SECONDS attempt datapath
  for attempt in 1 2; do
    if [[ $1 = uml ]]; then ended=$(uml_run "$2" "$3" "$4"); else ended=$(guest_run "$1" "$2" "$3" "$4"); fi
    [[ $ended = panic ]] || break
    panics=$attempt
    cp "$3/console" "$3/console.panic$attempt"
    echo "kernel-matrix: $1 $2: $(grep -m1 -o 'Kernel panic.*' "$3/console")" >&2
  done
  for datapath in cgroup netfilter; do
    jq -R -s -c -f "$lib/row.jq" --arg version "$1" --arg package "$(cat "$store/$1/package")" --arg layout "$2" \
      --arg datapath $datapath --arg ended "$ended" --argjson panics $panics "$3/said"
  done > "$3/rows"
  echo "kernel-matrix: $1 $2: $ended after $((SECONDS - started)) s" >&2
}

# Lines of tab-separated cells, aligned.
plan_columns() {
  awk -F '\t' '
    {rows = NR; for (i = 1; i <= NF; i++) {cell[NR, i] = $i; if (i < NF && length($i) > width[i]) width[i] = length($i)}
     fields[NR] = NF}
    END {
      for (row = 1; row <= rows; row++) {
        line = ""
        for (i = 1; i <= fields[row]; i++)
          line = line (i < fields[row] ? sprintf("%-" (width[i] + 2) "s", cell[row, i]) : cell[row, i])
        sub(/ +$/, "", line)
        print line
      }
    }'
}
