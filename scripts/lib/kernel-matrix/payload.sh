# shellcheck shell=bash
# What goes into the guests: the binary, the tests, Swift's libraries; sourced after machine.sh.
# shellcheck disable=SC2154 # store is archive.sh's

# Makes $store/payload and payload.img from what is built.
payload_prepare() {
  local built toolchain place=$store/payload file
  built=$(swift build --show-bin-path)
  toolchain=$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")
  rm -rf "$place" "$store/payload.img"
  mkdir -p "$place/lib"
  # Symbols are three quarters of the size, and no guest has a debugger.
  strip -o "$place/sallyport" "$built/sallyport"
  strip -o "$place/tests.xctest" "$built/sallyportPackageTests.xctest"
  # The toolchain's libraries; the root has Debian's own. The binaries look for them where the toolchain is.
  for file in sallyport sallyportPackageTests.xctest; do ldd "$built/$file"; done |
    awk -v toolchain="$toolchain" 'index($3, toolchain) == 1 && !seen[$3]++ {print $3}' > "$store/libraries"
  xargs cp -t "$place/lib" < "$store/libraries"
  dirname "$(head -1 "$store/libraries")" > "$place/runpath"
  install -m 755 "$(dirname "${BASH_SOURCE[0]}")"/guest-{start,cases,preflight} "$place/"
  image_of "$place" "$store/payload.img"
}
