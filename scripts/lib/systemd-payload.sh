#!/usr/bin/env bash
# What scripts/systemd-check runs inside: real units, a real user's manager, and somebody who pretends to be a unit.
set -u
failures=0
# Without a cgroup namespace the tree of this systemd is a part of the host's.
tree=/sys/fs/cgroup$(dirname "$(sed -n 's/^0:://p' /proc/1/cgroup)")
tree=${tree%/}
tags=/run/tags.jsonl
ok() { echo "ok    $*"; }
no() { echo "FAIL  $*"; failures=$((failures + 1)); }

check() { # WHAT COMMAND…
  local what=$1
  shift
  if "$@"; then ok "$what"; else no "$what"; fi
}

# expect WHAT PATTERN: a line of the stream matches, within ten seconds.
expect() {
  for _ in {1..100}; do
    if grep -qE "$2" "$tags"; then ok "$1"; return; fi
    sleep 0.1
  done
  no "$1: no line of the stream is like $2"
}
refuse() { if grep -qE "$2" "$tags"; then no "$1: $(grep -E "$2" "$tags")"; else ok "$1"; fi; }

id tenant > /dev/null 2>&1 || useradd -m -u 1000 tenant
units=/etc/systemd/system
# What an earlier run left, if the root directory is used again.
rm -rf "$units"/{web,nginx,first}.service.d
printf '[Service]\nExecStart=/bin/sleep 1000\n' | tee "$units/web.service" "$units/nginx.service" "$units/job@.service" > /run/unit
printf '[Service]\nExecStart=/bin/sleep 1000\nDelegate=yes\n' > "$units/tenant-app.service"
mkdir -p "$units/job@.service.d"
printf '[X-Sallyport]\nLabels=app=job\n' > "$units/job@.service.d/labels.conf"
cat > /run/rules.yaml << 'RULES'
apiVersion: sallyport/v1
kind: Workload
metadata: {name: tenants}
spec:
  labels: {team: tenants}
  match: {labels: "sallyport.user=tenant"}
RULES
sallyport unit label web.service app=web tier=front && sallyport unit label nginx app=secret --require
sallyport unit show web.service
check "systemd read the drop-in" grep -q 'ExecStartPre=+-/usr/bin/sallyport unit wait' <(systemctl cat web.service)

sallyport tag --cgroup "$tree" --follow -o json --policy /run/rules.yaml > "$tags" 2> /run/tags.err &
expect "the stream is ready" '"event":"ready"'
systemctl start web.service
expect "a unit with a drop-in is labelled when it starts" '"added".*"app":"?web.*/system.slice/web.service"|/system.slice/web.service.*web'
systemctl start job@7.service
expect "an instance has its template's labels" '"added".*/system.slice/system-job.slice/job@7.service'
sallyport unit label web.service app=other
expect "a unit that runs gets other labels" '"changed".*other'
sallyport unit label web.service --remove
expect "and loses them" '"removed".*/system.slice/web.service'
if systemctl start nginx.service 2> /dev/null; then no "--require lets a service start that nobody labels"; else ok "--require holds back a service while no agent enforces"; fi

systemctl start user@1000.service
mkdir -p /home/tenant/.config/systemd/user
cp /run/unit /home/tenant/.config/systemd/user/nginx.service
chown -R tenant /home/tenant/.config
as_tenant() { setpriv --reuid=1000 --regid=1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 "$@"; }
as_tenant systemctl --user start nginx.service || no "the user's own unit does not start"
expect "a user's manager is the user's" '"added".*user@1000.service.*|user@1000.service.*tenants'
check "the user has a unit nginx.service" test -d "$tree/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service"
systemctl start tenant-app.service
mkdir -p "$tree/system.slice/tenant-app.service/nginx.service"
# Whatever comes after this has been seen too.
systemctl start job@8.service
expect "the stream goes on" 'job@8.service'
refuse "a user's nginx.service is not the system's [6]" '("app":"secret"|"sallyport.unit":"nginx.service").*"path":"[^"]*/(user.slice|tenant-app.service)/'

# shellcheck source=scripts/lib/systemd-first-packet.sh disable=SC1091
source /usr/local/bin/first-packet
echo "--- stream"; cat "$tags" /run/tags.err
if ((failures)); then echo "$failures failures"; else echo "all as it should be"; fi
