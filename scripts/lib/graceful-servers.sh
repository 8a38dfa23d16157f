# shellcheck shell=bash
# The stage of scripts/graceful-stops: an agent, a network, and how each server is started and stopped.
# shellcheck disable=SC2154,SC2034  # sallyport and datapath are set by those who source this, and tables are used there

name=sp-graceful-$$
work=$(mktemp -d "/tmp/$name.XXXX")
declare -A port=([nginx]=8080 [haproxy]=8081 [postgres]=5432 [redis]=6379)
declare -A stop=([nginx]=QUIT [haproxy]=USR1 [postgres]=TERM [redis]=TERM)
declare -A size=([nginx]=3000000 [haproxy]=3000000 [postgres]=2000000 [redis]=90000)
postgres=$(find /usr/lib/postgresql/*/bin -maxdepth 0 2>/dev/null | tail -1)

workload() { # workload NAME LABELS COMMAND...: runs a command as a labelled workload
  "$sallyport" exec --state "$work/state" --name "$1" --label "$2" --netns "/run/netns/$name" -- "${@:3}"
}

as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }

stage_up() {
  cgroup=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)/$name
  mkdir "$cgroup" "$work/policy" "$work/nginx" "$work/redis"
  chmod 755 "$work"
  ip netns add "$name"
  ip -n "$name" link set lo up
  ip -n "$name" addr add 10.77.0.1/32 dev lo
  local rules='[{name: all, action: allow, peers: [{selector: "app in (api,client)"}], ports: any}]'
  printf 'apiVersion: sallyport/v1\nkind: NetworkRuleSet\nmetadata: {name: all}\nspec: {subject: "app in (api,client)", incoming: %s, outgoing: %s}\n' \
    "$rules" "$rules" >"$work/policy/all.yaml"
  mkfifo "$work/ready"
  "$sallyport" run --cgroup "$cgroup" --policy "$work/policy" --state "$work/state" --mount-bpffs --no-coverage \
    --datapath "$datapath" --spare-own-namespace --sources "" --ready-fd 3 3>"$work/ready" 2>"$work/agent.log" &
  agent=$!
  read -r -t 60 <"$work/ready" || { cat "$work/agent.log" >&2; exit 1; }
  head -c "${size[nginx]}" /dev/urandom >"$work/nginx/file"
  head -c "${size[redis]}" /dev/zero >"$work/redis/value"
  cat >"$work/nginx.conf" <<CONF
daemon off; pid $work/nginx/pid; error_log $work/nginx/log; worker_processes 2; events {}
http { access_log off; client_body_temp_path $work/nginx/b; proxy_temp_path $work/nginx/p; fastcgi_temp_path $work/nginx/f;
  uwsgi_temp_path $work/nginx/u; scgi_temp_path $work/nginx/s; server { listen 10.77.0.1:8080; root $work/nginx; } }
CONF
  cat >"$work/haproxy.conf" <<CONF
global
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen all
  bind 10.77.0.1:8081
  server one 10.77.0.1:8082
CONF
  sed "s/8080/8082/; s/nginx.pid/nginx\/pid2/; s/nginx\/pid;/nginx\/pid2;/" "$work/nginx.conf" >"$work/behind.conf"
  install -d -o postgres "$work/postgres"
  as_postgres "$postgres/initdb" -D "$work/postgres" -A trust >"$work/initdb.log" 2>&1
  echo "host all all 10.77.0.1/32 trust" >>"$work/postgres/pg_hba.conf"
  workload behind app=api nginx -c "$work/behind.conf" 2>>"$work/servers.log" &
  await_listener 8082
}

start_nginx() { workload nginx app=api nginx -c "$work/nginx.conf" 2>>"$work/servers.log" & }
start_haproxy() { workload haproxy app=api haproxy -f "$work/haproxy.conf" >>"$work/servers.log" 2>&1 & }
start_postgres() {
  workload postgres app=api setpriv --reuid postgres --regid postgres --clear-groups "$postgres/postgres" \
    -D "$work/postgres" -h 10.77.0.1 -k '' >>"$work/servers.log" 2>&1 &
}
start_redis() {
  workload redis app=api redis-server --bind 10.77.0.1 --protected-mode no --save '' --dir "$work/redis" \
    >>"$work/servers.log" 2>&1 &
  await_listener 6379
  workload client app=client redis-cli -h 10.77.0.1 -x set big <"$work/redis/value" >/dev/null
}

listeners() { nsenter --net="/run/netns/$name" ss -Htnlp "sport = :$1"; }
server_pid() { cgroup_of "$1" | while read -r dir; do head -1 "$dir/cgroup.procs"; done; }
cgroup_of() { compgen -G "$cgroup/exec-$1-*"; }

await() { # await SECONDS COMMAND...
  local end=$((SECONDS + $1))
  until "${@:2}"; do ((SECONDS < end)) || return 1; sleep 0.02; done
}
await_listener() { await 30 listens "$1"; }
listens() { [[ -n $(listeners "$1") ]]; }
await_streams() { await 10 streams "$1" "$2"; sleep 0.2; }
streams() { (($(nsenter --net="/run/netns/$name" ss -Htn state established "dport = :$1" | wc -l) >= $2)); }
await_end() { await 30 has_ended "$1"; }
has_ended() { [[ -z $(cgroup_of "$1") ]]; }

stage_down() {
  for _ in {1..50}; do
    "$sallyport" detach --state "$work/state" >/dev/null 2>&1
    case $? in 0 | 3) break ;; esac
    sleep 0.1
  done
  kill "$agent" 2>/dev/null
  [[ -d $cgroup ]] && echo 1 >"$cgroup/cgroup.kill"
  sleep 0.3
  find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
  ip netns del "$name"
  [[ -n ${KEEP:-} ]] || rm -rf "$work"
}
