#!/usr/bin/env bash
# What scripts/systemd-check runs in its second boot: the agent as a unit, enabled before the boot.
set -u
failures=0
tree=/sys/fs/cgroup$(dirname "$(sed -n 's/^0:://p' /proc/1/cgroup)")
ok() { echo "ok    $*"; }
no() { echo "FAIL  $*"; failures=$((failures + 1)); }
check() { # WHAT COMMAND…
  local what=$1
  shift
  if "$@"; then ok "$what"; else no "$what"; fi
}
await() { # COMMAND…: until it succeeds, at most 20 s
  for _ in {1..200}; do if "$@" > /dev/null 2>&1; then return; fi; sleep 0.1; done
  return 1
}
since() { systemctl show --value -p "$2" "$1"; }
agent() { since sallyport.service MainPID; }
connects() { systemd-run -q --wait -p Type=oneshot --unit "try-$RANDOM" /bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080'; }
refused() { rm -f /tried; ! systemctl start first.service 2> /dev/null && grep -q 'not permitted' /tried; }
held_back() { rm -f /tried; ! systemctl start first.service 2> /dev/null && [ ! -e /tried ]; }
logged() { journalctl --no-pager -q -u sallyport.service | grep -q "$1"; }

systemd-analyze verify /etc/systemd/system/sallyport.service > /run/verify 2>&1
check "systemd has nothing to say about the unit: $(grep sallyport /run/verify | head -3)" test "$(grep -c sallyport /run/verify)" = 0
systemd-analyze security --no-pager sallyport.service | tail -1
if systemctl is-active -q sallyport.service; then
  ok "the agent is started at boot"
else
  journalctl --no-pager -n 40 -u sallyport.service
  exit
fi
check "and enforces before basic.target is reached" test \
  "$(since sallyport.service ActiveEnterTimestampMonotonic)" -le "$(since basic.target ActiveEnterTimestampMonotonic)"
check "a service of this boot was refused what policy forbids it: $(cat /tried 2>&1)" grep -q 'not permitted' /tried
perl -MIO::Socket::INET -e \
  '$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:8080", Listen => 9, ReuseAddr => 1); close $c while $c = $s->accept' &
await bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080'
check "a service without labels connects" connects
check "the labelled one is refused" refused

check "what the datapath covers was found out" await sallyport status --coverage
check "with nothing that could not be tried" test "$(sallyport status --coverage | grep -c unknown)" = 0
sallyport status --coverage | grep unknown
sallyport exec -l app=other -- /bin/true || no "exec"

before=$(agent)
kill -KILL "$before"
check "a killed agent leaves policy enforced" bash -c "sallyport status > /dev/null"
check "and is started again" await bash -c "test \$(systemctl show --value -p MainPID sallyport.service) != $before && systemctl is-active sallyport.service"
check "it took over" await logged "took over existing enforcement"
systemctl stop sallyport.service
check "a stopped one too" bash -c "sallyport status > /dev/null"
check "the labelled service does not start without an agent" held_back
systemctl start sallyport.service
check "the labelled service is refused after the start" refused
systemctl reload sallyport.service && sleep 0.5
check "SIGHUP reads the policy again and the agent goes on" systemctl is-active -q sallyport.service
check "the records are where the configuration says" test -s /var/log/sallyport/flows.jsonl
sallyport detach
check "detach ends the agent, and systemd does not start it again" await bash -c '! systemctl is-active -q sallyport.service'
check "and nothing is enforced" bash -c 'sleep 2; ! sallyport status 2> /dev/null'
echo "--- agent"; journalctl --no-pager -n 40 -u sallyport.service; sed 's/^/      /' /run/verify; echo "$tree"
if ((failures)); then echo "$failures failures"; else echo "all as it should be"; fi
