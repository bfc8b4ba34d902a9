#!/bin/sh
# qemu.sh serial|ethernet SENSOR.elf MINIONN MODEL.minionn: a server on this machine, and the sensor in QEMU. Ends as the sensor ends.
set -eu
log=$(mktemp)
"$3" serve "$4" --listen 127.0.0.1:0 > "$log" &
server=$!
trap 'kill $server 2>/dev/null || true; rm -f "$log"' EXIT
until grep -q '^listening on ' "$log"; do
    kill -0 $server
    sleep 0.1
done
address=$(sed -n 's/^listening on //p' "$log")
case $1 in
    serial) link="-serial tcp:$address" ;;          # the line is a connection to the server
    ethernet) link="-nic user,model=lan9118" ;;     # 10.0.2.2 is this machine
esac
# QEMU has no source of randomness: a fresh seed for every run. Whoever sees this command line can read the session.
seed=$(od -An -N32 -v -tx1 /dev/urandom | tr -d ' \n')
# -icount shift=0: an instruction takes a nanosecond, so that the timer counts instructions.
qemu-system-arm -machine mps2-an386 -cpu cortex-m4 -display none -monitor none -icount shift=0 $link \
    -semihosting-config "enable=on,target=native,arg=sensor,arg=port=${address##*:},arg=seed=$seed" -kernel "$2"
