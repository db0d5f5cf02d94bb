#!/bin/bash
# bundle.sh PROGRAM STOOK - results carried from one cache to another by `stook export` and `import`.
stook=$(realpath "$2")
. "$(dirname "$(readlink -f "$0")")/../support/scenario.sh"

"$program" --from 0 --to 8 > sum.txt 2> /dev/null || bad "the program runs"
before=$(executions)
expect "export" 0 "results exported" "$stook" export all.stook
expect "export of a class" 0 "1 results exported, 9 records" "$stook" export sum.stook 'Sum'
expect "a pattern that matches nothing" 2 "no task in this cache" "$stook" export none.stook 'NoSuch'
[[ ! -e none.stook ]] && ok "then there is no file" || bad "then there is a file"
expect "tar shows it" 0 "stook-bundle.end" tar --zstd -tf all.stook
expect "import makes a cache" 0 "records imported, 0 were here" "$stook" import --cache new all.stook
expect "import again" 0 "^0 records imported, .* 0 left out" "$stook" import --cache new all.stook
"$program" -o new --from 0 --to 8 2> /dev/null | cmp -s - sum.txt && [[ $(executions) == "$before" ]] &&
  ok "the other cache answers without running anything" || bad "the other cache runs something"
"$stook" export - Sum 2> report | "$stook" import --cache piped - > /dev/null &&
  grep -q "results exported" report && ok "through a pipe" || bad "through a pipe"
"$program" -o piped --from 0 --to 8 2> /dev/null | cmp -s - sum.txt && [[ $(executions) == "$before" ]] &&
  ok "and that answers, too" || bad "what came through the pipe does not answer"
head -c 300 all.stook > cut.stook
expect "cut short" 3 "bundle cut.stook: .*cut short" "$stook" import --cache third cut.stook
expect "no bundle" 3 "no bundle" "$stook" import --cache third sum.txt
expect "no such file" 3 "No such file" "$stook" import --cache third none.stook
expect "verify" 0 " 0 defects" "$stook" verify --cache third
[[ -z $(ls third/spool | grep -v trash) ]] && ok "nothing is left over" || bad "something is left over"
chmod 777 new
expect "a cache that others may write to" 3 "chmod 700" "$stook" stats --cache new
exit $status
