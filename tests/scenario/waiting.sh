#!/bin/bash
# waiting.sh PROGRAM - 2,000 prefix commands wait at once: one descriptor each in the driver, no
# thread; and all of them end well.
set -u
program=$(realpath "$1")
count=2000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export EXECUTIONS=$work/executions GATE=$work/gate
mkfifo gate
cat > wrapper <<'W'
#!/bin/sh
echo "$$" >> "$GATE.waiting"
read -r _ < "$GATE"
exec "$@"
W
chmod +x wrapper
status=0
check() { if "${@:2}"; then echo "ok - $1"; else echo "not ok - $1"; status=1; fi; }

"$program" --from 0 --to $count -o cache -p "leaf=$work/wrapper" > out 2> err &
pid=$!
until [[ -e gate.waiting && $(wc -l < gate.waiting) -ge $count ]] || ! kill -0 $pid 2> /dev/null; do
  read -r -t 0.05 <> <(:)
done
descriptors=(/proc/$pid/fd/*)
threads=(/proc/$pid/task/*)
echo "${#descriptors[@]} descriptors, ${#threads[@]} threads," \
  "$(sed -n 's/^VmRSS:[[:space:]]*//p' /proc/$pid/status) resident"
check "$count wait" test "$(wc -l < gate.waiting)" == $count
check "a descriptor each" test "${#descriptors[@]}" -lt $((count + 100))
check "no threads of their own" test "${#threads[@]}" -lt 20
: > gate   # whoever waits reads its end
wait $pid
check "the run ends well" test $? == 0
check "with the right sum" test "$(tail -n 1 out)" == $((count * (count - 1) / 2))
check "each was executed once" test "$(sort -u executions | wc -l) $(wc -l < executions)" == "$count $count"
check "the spool is empty" test -z "$(find cache/spool -type f)"
((status == 0)) || sed 's/^/    /' err
exit $status
