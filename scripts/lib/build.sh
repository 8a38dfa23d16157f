# shellcheck shell=bash
# Builds a product and says how far it is: one line on a terminal, else a line every 30 seconds.

build_release() { # build_release PRODUCT
  local first="" status
  [[ -e .build/release/$1 ]] || first="; the first time takes 6 to 10 minutes on two processors, later ones seconds"
  echo "Building $1$first"
  trap 'echo; echo "stopped; the next run goes on from here"; exit 130' INT TERM
  if swift build -c release --product "$1" 2>&1 | build_progress; then status=0; else status=${PIPESTATUS[0]}; fi
  trap - INT TERM
  ((status == 0)) || { echo "the build failed (exit code $status)" >&2; exit 1; }
}

build_progress() { # reads what swift build prints; everything but its steps goes through
  # Ctrl-C ends the build, and that ends this.
  trap '' INT
  local begin=$SECONDS said=$SECONDS line='' rest='' step='' clock now rc
  while :; do
    rc=0
    IFS= read -r -t 1 line || rc=$?
    # A line that is not complete in time comes in pieces.
    if ((rc > 128)); then rest+=$line line=; elif ((rc)); then break; else line=$rest$line rest=; fi
    now=$((SECONDS - begin))
    clock=$((now / 60)):$(printf %02d $((now % 60)))
    if [[ $line =~ ^\[[0-9]+/[0-9]+\] ]]; then
      step=$line
    elif [[ -n $line ]]; then
      [[ ! -t 1 ]] || printf '\r\033[K'
      printf '%s\n' "$line"
    fi
    if [[ -t 1 ]]; then
      [[ -z $step ]] || printf '\r\033[K%s  %.60s' "$clock" "$step"
    elif ((SECONDS - said >= 30)); then
      echo "$clock  ${step:-preparing}"
      said=$SECONDS
    fi
  done
  [[ ! -t 1 ]] || printf '\r\033[K'
}
