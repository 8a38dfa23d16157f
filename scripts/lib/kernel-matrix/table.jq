# The rows as tab-separated cells, then what failed, was refused or was skipped, and why.
def biggest: .programs.verified | to_entries | map(select(.value)) | max_by(.value)
  | if . then "\(.value) \(.key)" else "-" end;
def notes: [
  (if .panics > 0 then "\(.panics) panic" else empty end),
  (if .ended != "ended" then .ended else empty end),
  (if .hasBTF == false then "no BTF" else empty end),
  (if .faults.ok then "preflight found \(.faults.ok) planted faults" else empty end),
  (if .programs.compiled == false then "no JIT" else empty end)
] | join(", ");
(["KERNEL", "PACKAGE", "LAYOUT", "DATAPATH", "PROGRAMS", "MOST VERIFIED", "PASSED", "FAILED", "SKIPPED", "SECONDS", "NOTES"] | @tsv),
(.[] | [.release // .version, .package, .layout, .datapath, "\(.programs.loaded) of \(.programs.of)", biggest, .cases.passed,
  .cases.failed, .cases.skipped, (.seconds // "-"), notes] | @tsv),
(.[] | "\(.version) \(.layout) \(.datapath)" as $row
  | .hasBTF as $hasBTF
  | (.missed[] | "FAIL  \($row): preflight: \(.name): \(.said)"),
    (.failures[] | "FAIL  \($row): \(.name): \(.reason)"),
    (.programs as $programs | .objects[] | select(.loaded | not) | .object as $object
      | [$programs.refused[] | select(.object == $object)] | group_by(.program)[][0]
      | (if $hasBTF == false and $object != "netfilter-mark" then "NONE" else "FAIL" end) + "  \($row): \(.program): \(.reason)")),
# The same reason on several kernels is one line.
([.[] | "\(.version) \(.layout)" as $row | .skips[] | {reason, row: $row, count: (.names | length)}]
  | group_by(.reason)[] | "SKIP  \(.[0].reason): \(map("\(.row) (\(.count))") | join(", "))")
