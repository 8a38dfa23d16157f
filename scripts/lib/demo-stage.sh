# shellcheck shell=bash
# The stage of the demonstration: what it makes on the host, and how all of it goes again.
# shellcheck disable=SC2154  # sallyport, work and outside are set by those who source this

name=sallyport-demo-$$
work=$(mktemp -d "/tmp/$name.XXXX")
outside=$name-out
pids=()

cgroup2_mount() { # where the cgroup2 hierarchy is mounted: never assumed
  awk '{ for (i = 7; i <= NF; i++) if ($i == "-") { if ($(i + 1) == "cgroup2") print $5; break } }' \
    /proc/self/mountinfo | head -1
}

workload() { # workload NAME LABELS COMMAND...: runs a command as a labelled workload in the demonstration's network
  local workload_name=$1 labels=$2
  shift 2
  "$sallyport" exec --state "$work/state" --name "$workload_name" --label "$labels" \
    --netns "/run/netns/$name" -- "$@"
}

in_network() { nsenter --net="/run/netns/$1" "${@:2}"; }

stage_up() {
  local mount
  mount=$(cgroup2_mount)
  [[ -n $mount ]] || { echo "scripts/run: no cgroup2 is mounted; mount -t cgroup2 none /sys/fs/cgroup" >&2; exit 1; }
  cgroup=$mount/$name
  mkdir "$cgroup"

  ip netns add "$name"
  ip netns add "$outside"
  ip -n "$name" link set lo up
  ip -n "$name" link add inside type veth peer name outside netns "$outside"
  ip -n "$name" addr add 10.77.0.1/24 dev inside
  ip -n "$name" addr add fd77::1/64 dev inside nodad
  ip -n "$name" link set inside up
  ip -n "$outside" addr add 10.77.0.2/24 dev outside
  ip -n "$outside" addr add fd77::2/64 dev outside nodad
  ip -n "$outside" link set outside up

  mkfifo "$work/ready"
  "$sallyport" run --cgroup "$cgroup" --policy examples/policy --state "$work/state" --mount-bpffs \
    --ready-fd 3 3>"$work/ready" 2>"$work/agent.log" &
  pids+=($!)
  if ! read -r -t 30 <"$work/ready"; then
    echo "scripts/run: the agent did not start:" >&2
    cat "$work/agent.log" >&2
    exit 1
  fi

  mkdir "$work/nginx" "$work/redis"
  workload api app=api nginx -p "$work/nginx" -c "$PWD/examples/nginx/api.conf" 2>"$work/nginx.log" &
  pids+=($!)
  workload db app=db redis-server --bind 0.0.0.0 :: --port 6379 --protected-mode no --save "" \
    --dir "$work/redis" >"$work/redis.log" 2>&1 &
  pids+=($!)
  await_listener 8080
  await_listener 6379
}

await_listener() { # await_listener PORT: until something listens there, at most 10 s
  local deadline=$((SECONDS + 10))
  until [[ -n $(in_network "$name" ss -Htnl "sport = :$1") ]]; do
    ((SECONDS < deadline)) || { echo "scripts/run: nothing listens on port $1" >&2; cat "$work"/*.log >&2; exit 1; }
    sleep 0.05
  done
}

stage_down() {
  # What fails on the way down must not keep the rest from going.
  set +e
  trap - EXIT
  trap '' INT TERM
  # Ctrl-C reaches the agent too: while it stops it neither answers nor lets go of its lock.
  for ((tries = 0; tries < 50; tries++)); do
    "$sallyport" detach --state "$work/state" >"$work/detach.log" 2>&1
    case $? in 0 | 3) break ;; esac
    sleep 0.1
  done
  ((${#pids[@]})) && kill "${pids[@]}" 2>/dev/null
  if [[ -n ${cgroup-} && -d $cgroup ]]; then
    [[ -w $cgroup/cgroup.kill ]] && echo 1 >"$cgroup/cgroup.kill"
    wait "${pids[@]}" 2>/dev/null
    for ((tries = 0; tries < 50; tries++)); do
      find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
      [[ -d $cgroup ]] || break
      sleep 0.1
    done
  fi
  ip netns del "$name" 2>/dev/null
  ip netns del "$outside" 2>/dev/null
  rm -rf "$work"
}
