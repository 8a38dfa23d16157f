# shellcheck shell=bash
# Finds the Swift toolchain: sudo resets PATH, so also where the caller has it and where it is usually unpacked.

if ! command -v swift >/dev/null; then
  candidates=()
  if [[ -n ${SUDO_USER-} ]]; then
    candidates+=("$(dirname "$(runuser -l "$SUDO_USER" -c 'command -v swift' 2>/dev/null || echo /nowhere/swift)")")
  fi
  candidates+=(/opt/swift/usr/bin /usr/local/swift/usr/bin /usr/share/swift/usr/bin /usr/libexec/swift/bin)
  for candidate in "${candidates[@]}"; do
    if [[ -x $candidate/swift ]]; then
      PATH=$PATH:$candidate
      export PATH
      break
    fi
  done
fi
if ! command -v swift >/dev/null; then
  echo "no swift in PATH; install Swift 6.2 or later: https://www.swift.org/install/linux/" >&2
  exit 1
fi
