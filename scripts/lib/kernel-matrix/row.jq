# One row of the table from what a guest said (raw, slurped); empty if the guest has no tests for this datapath.
def between($from; $to):
  split("\n") | (index($from)) as $begin
  | if $begin == null then [] else .[$begin + 1:] | (map(startswith($to)) | index(true)) as $until | .[:$until] end;
def mark($name): [split("\n")[] | select(startswith("@" + $name + " ")) | split(" ")[1:]];
# The best way in which this kernel takes an object: the first that loads, or the first of all.
def best: group_by(.object) | map((map(select(.loaded)) + .)[0]);
def text($prefix): map(select(startswith($prefix)));

. as $said
| (between("@programs"; "@probed") | join("\n") | (fromjson? // null)) as $report
| [$report.trials[]? | select((.object | startswith("netfilter")) == ($datapath == "netfilter"))] as $trials
| ($trials | best) as $objects
| [$objects[] | .object as $object | .programs[] | .object = $object] as $programs
| between("@tests " + $datapath; "@tested") as $lines
# Faults that were planted are of a guest, not of a datapath.
| (if $datapath == "cgroup" then mark("fault") | map({name: .[0], ended: .[1], said: (.[2:] | join(" "))}) else [] end) as $faults
| [mark("tested")[] | select(.[0] == $datapath)][0] as $tested
| ($lines | text("✔ Test \"") | length) as $passed
| ($lines | map(select(test("^✘ Test \".*\" (with .* )?failed after"))) ) as $failed
| ($lines | map(capture("^➜ (?<name>Test .*) skipped: \"?(?<reason>.*?)\"?$")?)) as $skipped
| {
    version: $version, package: $package, release: (mark("kernel")[0][0] // null), layout: $layout,
    datapath: $datapath, ended: $ended, panics: $panics, hasBTF: $report.hasBTF,
    objects: [$objects[] | {object, features, loaded}],
    programs: {
      loaded: ($programs | map(select(.loaded)) | length), of: ($programs | length),
      compiled: ([$programs[] | select(.loaded) | .compiled] | if length == 0 then null else all end),
      verified: ($programs | map({key: "\(.object) \(.name)", value: .verifiedInstructions}) | from_entries),
      refused: [$trials[] | .object as $object | .features as $features | .programs[] | select(.loaded | not)
        | {object: $object, program: .name, features: $features, reason: .refusal}]
    },
    cases: {passed: $passed, failed: ($failed | length), skipped: ($skipped | length)},
    failures: [$failed[] | capture("^✘ (?<name>Test \".*\") (with .* )?failed after").name as $name
      | {name: $name, reason: ([$lines[] | select(startswith("✘ " + $name + " recorded"))][0] // "" | sub(".* recorded an issue "; ""))}],
    skips: ($skipped | group_by(.reason) | map({reason: .[0].reason, names: map(.name)})),
    faults: ($faults | group_by(.ended) | map({key: .[0].ended, value: length}) | from_entries),
    missed: [$faults[] | select(.ended != "ok" and .ended != "none:")],
    seconds: (if $tested then ($tested[2] | tonumber) else null end)
  }
| select($trials != [] or $passed + (.cases.failed) > 0 or ($datapath == "cgroup"))
# Kernels without modules get no suites of the rules. Without types of their own the mark view alone can load: nothing else is asked of them.
| .ok = ($ended == "ended" and .cases.failed == 0 and .missed == [] and ($said | contains("\n@faulted")) and ($tested == null or $tested[1] == "0")
    and all($objects[]; .loaded or ($report.hasBTF == false and .object != "netfilter-mark")))
