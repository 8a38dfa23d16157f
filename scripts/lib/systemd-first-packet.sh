# shellcheck shell=bash
# The part of systemd-payload.sh in which an agent enforces; units, tree and the checks come from there.
# shellcheck disable=SC2154

# From the first packet: a service that connects as soon as it starts, which policy forbids to its label.
perl -MIO::Socket::INET -e \
  '$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:8080", Listen => 9, ReuseAddr => 1); close $c while $c = $s->accept' &
cat > /run/policy.yaml << 'POLICY'
apiVersion: sallyport/v1
kind: Defaults
metadata: {name: defaults}
spec: {incoming: allow, outgoing: allow}
---
apiVersion: sallyport/v1
kind: NetworkRuleSet
metadata: {name: first}
spec:
  subject: app=first
  outgoing:
    - {action: reject, peers: any, ports: any}
POLICY
printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/bash -c "echo >> /run/tried; exec 3<>/dev/tcp/127.0.0.1/8080"\n' > "$units/first.service"
systemctl daemon-reload
mkfifo /run/ready
sallyport run --cgroup "$tree" --policy /run/policy.yaml --mount-bpffs --ready-fd 3 3> /run/ready 2> /run/agent.log &
if read -r -t 20 _ < /run/ready; then
  check "an unlabelled service connects" systemctl start first.service
  sallyport unit label first app=first --require
  allowed=0
  for _ in {1..20}; do if systemctl start first.service 2> /run/last.err; then allowed=$((allowed + 1)); fi; done
  check "a labelled one never does, in 20 starts ($allowed)" test "$allowed" = 0
  # The first start was the unlabelled one.
  check "and each of them ran and tried ($(wc -l < /run/tried) with the first)" test "$(wc -l < /run/tried)" = 21
else
  no "the agent did not start"
fi
((failures)) && journalctl --no-pager -n 20 -u first.service 2> /dev/null; tail -5 /run/agent.log
