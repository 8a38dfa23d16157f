# shellcheck shell=bash
# What is attempted in the demonstration, and what policy says about each.
# shellcheck disable=SC2154  # sallyport, work and outside are set by those who source this

failed=0

row() { printf '%-34s %-10s %-36s %s\n' "$@"; }

attempt() { # attempt TITLE EXPECTED-PATTERN COMMAND...: runs it and compares what it printed
  local title=$1 expected=$2 answer verdict=ok
  shift 2
  answer=$("$@" 2>&1 | tr '\n' ' ' || true)
  # shellcheck disable=SC2053  # the expectation is a pattern
  if [[ $answer != $expected ]]; then
    verdict="NOT AS POLICY SAYS (wanted $expected)"
    failed=$((failed + 1))
  fi
  row "$title" "${policy_says}" "${answer% }" "$verdict"
}

web() { workload web app=web "$@"; }
api() { workload api-task app=api "$@"; }
fetch() { curl -s -o /dev/null -w '%{http_code}' --max-time 3 "$1"; }

hold() { # a connection that stays open until somebody cuts it: says when it is up and when it is gone
  # shellcheck disable=SC2016  # expanded by the inner shell
  workload api-held app=api bash -c '
    exec 3<>/dev/tcp/10.77.0.1/6379
    printf "SUBSCRIBE news\r\n" >&3
    cat <&3' >"$work/held" 2>&1
}

tighten() { # cut a held connection by taking the rule away
  local held deadline=$((SECONDS + 5))
  hold &
  held=$!
  pids+=("$held")
  until grep -q subscribe "$work/held" 2>/dev/null; do
    ((SECONDS < deadline)) || { echo "the held connection did not come up"; return; }
    sleep 0.02
  done
  local begin=${EPOCHREALTIME/./}
  "$sallyport" policy apply --state "$work/state" examples/tightened >/dev/null
  wait "$held" || true
  echo "cut after $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
}

observed() { # the flow record of an observed rule: reported, and nothing was refused
  "$sallyport" flows --state "$work/state" --output json | grep -c plain-text-will-go
}

play() {
  row ATTEMPT POLICY ANSWER ""
  policy_says=allow
  export -f fetch
  attempt "web -> api, IPv4" 200 web bash -c 'fetch http://10.77.0.1:8080/'
  attempt "web -> api, IPv6" 200 web bash -c 'fetch "http://[fd77::1]:8080/"'
  attempt "api -> db, IPv4" PONG\  api redis-cli -h 10.77.0.1 PING
  attempt "api -> db, IPv6" PONG\  api redis-cli -h fd77::1 PING
  policy_says=reject
  attempt "web -> db, IPv4" '*EPERM*us ' web "$sallyport" probe --tries 20 10.77.0.1 6379
  attempt "web -> db, IPv6" '*EPERM*us ' web "$sallyport" probe --tries 20 fd77::1 6379
  attempt "outside client -> api, IPv4" '*ETIMEDOUT*' in_network "$outside" "$sallyport" probe --timeout 700 10.77.0.1 8080
  attempt "outside client -> api, IPv6" '*ETIMEDOUT*' in_network "$outside" "$sallyport" probe --timeout 700 fd77::1 8080
  policy_says=observe
  attempt "api -> db, observed rule reported" '[1-9]*' observed
  policy_says=tightened
  attempt "api -> db, held, then forbidden" 'cut after*' tighten
  attempt "api -> db, anew" '*EPERM*us ' api "$sallyport" probe --tries 20 10.77.0.1 6379
  "$sallyport" policy apply --state "$work/state" examples/policy >/dev/null
  policy_says=allow
  attempt "api -> db, allowed again" PONG\  api redis-cli -h 10.77.0.1 PING
}
