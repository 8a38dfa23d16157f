# shellcheck shell=bash
# Debian's archive as this machine's apt knows it, with more suites, in an apt state of its own; sourced.

store=${SALLYPORT_KERNELS:-.build/kernels}
mkdir -p "$store"
store=$(cd "$store" && pwd)

# The address of the archive (main) or of its security archive, from this machine's own sources.
archive_uri() { # main|security
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v security="$([[ $1 = security ]] && echo 1 || echo 0)" \
      '$2 == "main" && ($1 ~ /-security$/) == security {sub("/$", "", $3); print $3; exit}'
}

# Configures and refreshes the state; nothing of the machine's own lists and sources changes.
archive_open() {
  local main security suite key=/usr/share/keyrings/debian-archive-keyring.gpg
  main=$(archive_uri main) security=$(archive_uri security)
  [[ -n $main ]] || { echo "kernel-matrix: apt has no source of Debian packages; see sources.list(5)" >&2; return 1; }
  mkdir -p "$store"/apt/{state/lists/partial,cache/archives/partial} "$store/debs"
  {
    for suite in bullseye bookworm bookworm-backports trixie trixie-backports sid; do
      echo "deb [signed-by=$key] $main $suite main"
    done
    [[ -z $security ]] || for suite in bullseye bookworm trixie; do
      echo "deb [signed-by=$key] $security $suite-security main"
    done
  } > "$store/apt/sources.list"
  cat > "$store/apt/apt.conf" << CONF
Dir::State "$store/apt/state";
Dir::State::status "/dev/null";
Dir::Cache "$store/apt/cache";
Dir::Etc::sourcelist "$store/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
APT::Sandbox::User "root";
CONF
  # A list that is a day old will do.
  if [[ -z $(find "$store/apt/updated" -mtime -1 2> /dev/null) ]]; then
    echo "Reading the archive's lists …" >&2
    in_archive apt-get -qq update >&2
    touch "$store/apt/updated"
  fi
}

in_archive() { APT_CONFIG=$store/apt/apt.conf "$@"; }

# Downloads packages into $store/debs, each as PACKAGE.deb; apt checks signatures and hashes.
archive_fetch() { # PACKAGE[=VERSION | /SUITE]…
  local place package
  place=$(mktemp -d "$store/debs/new.XXXXXX")
  for package in "$@"; do
    if ! (cd "$place" && in_archive apt-get -qq download "$package" >&2); then
      rm -rf "$place"
      return 1
    fi
    mv "$place"/*.deb "$store/debs/${package%%[=/]*}.deb"
  done
  rmdir "$place"
}
