#!/bin/bash
# From an empty Debian 12 to a running, hardened service: the steps of docs/deployment.md, as they stand there.
#
# debootstrap makes the system in a folder, its own systemd runs as process 1 of namespaces of its own, and each code block
# marked `<!-- install-test -->` is run in it. Needs root and debootstrap; touches nothing outside of its folder, which it removes.
#
#   deploy/install-test.sh DIST [FOLDER]      DIST: a folder with the wheel; FOLDER: where to work (a new one unless given)
set -euo pipefail

dist=${1:?name the folder with the wheel}
work=${2:-$(mktemp -d -t pilotage-install-XXXXXX)}
root=$work/debian
here=$(cd "$(dirname "$0")" && pwd)
page=$here/../docs/deployment.md
python=${PYTHON:-$here/../.venv/bin/python}
mirror=${MIRROR:-}
inner=

if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
  echo "this needs root and debootstrap: sudo apt-get install -y debootstrap, then run it as root" >&2
  exit 2
fi

say() { printf '== %s\n' "$*"; }

end() {
  if [ -n "$inner" ]; then kill -KILL "$inner" 2>/dev/null || true; wait "$outer" 2>/dev/null || true; fi
  rm -rf --one-file-system "$work"
}
trap end EXIT

# ── an empty Debian 12 ───────────────────────────────────────────────────────────────────────

mkdir -p "$root"
began=$(date +%s)
say "an empty Debian 12"
# systemd is what every installed Debian has; minbase alone would leave it out.
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$root" $mirror >"$work/debootstrap.log" 2>&1 ||
  { tail -20 "$work/debootstrap.log" >&2; exit 1; }
cp /etc/resolv.conf "$root/etc/resolv.conf"
say "$(du -sm --one-file-system "$root" | cut -f1) MB after $(($(date +%s) - began)) s"

say "the wheel, and what it needs"
mkdir -p "$root/root/wheels"
cp "$dist"/pilotage-*.whl "$root/root/"
"$python" -m pip download --quiet --dest "$root/root/wheels" "$dist"/pilotage-*.whl >"$work/pip.log" 2>&1 ||
  { tail -20 "$work/pip.log" >&2; exit 1; }

# ── its own process 1 ────────────────────────────────────────────────────────────────────────

cat >"$work/boot" <<'BOOT'
set -e
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup" 2>/dev/null || true
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${number%:*}" "$root/dev/${number#*:}"; done
hostname city
exec env -i container=install-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  chroot "$root" /lib/systemd/systemd --log-target=null --show-status=0 systemd.unit=multi-user.target
BOOT

unshare --mount --pid --fork --uts --ipc --cgroup --kill-child --propagation private \
  bash "$work/boot" "$root" >"$work/boot.log" 2>&1 &
outer=$!
for _ in $(seq 100); do
  inner=$(pgrep -P "$outer" || true)
  [ -n "$inner" ] && [ "$(cat "/proc/$inner/comm" 2>/dev/null)" = systemd ] && break
  sleep 0.1
done

# Runs a command inside; what pip needs is on the disk, wherever packages come from here.
inside() {
  nsenter --target "$inner" --mount --pid --uts --ipc --cgroup \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    PIP_NO_INDEX=1 PIP_FIND_LINKS=/root/wheels PIP_DISABLE_PIP_VERSION_CHECK=1 DEBIAN_FRONTEND=noninteractive \
    chroot "$root" sh -c "cd /root && $1"
}

for _ in $(seq 100); do inside 'systemctl is-system-running' 2>/dev/null | grep -Eq 'running|degraded' && break; sleep 0.2; done
say "systemd $(inside 'systemctl --version' | sed -n '1s/systemd \([^ ]*\).*/\1/p') runs as process 1"

# ── the documented steps ─────────────────────────────────────────────────────────────────────

"$python" - "$page" >"$root/root/steps" <<'STEPS'
import re, sys
page = open(sys.argv[1], encoding="utf-8").read()
for block in re.findall(r"<!-- install-test -->\n```(?:sh|bash)\n(.*?)```", page, re.S):
    print(block, end="")
STEPS
grep -q systemctl "$root/root/steps" || { echo "no steps in $page" >&2; exit 1; }
began=$(date +%s)
say "the steps of docs/deployment.md"
sed 's/^/   /' "$root/root/steps"
inside 'set -e; . ./steps' >"$work/steps.log" 2>&1 || { cat "$work/steps.log" >&2; inside 'journalctl -u pilotage --no-pager -n 40' >&2; exit 1; }
took=$(($(date +%s) - began))

# ── is it what it should be? ─────────────────────────────────────────────────────────────────

fail() { echo "FAILED: $*" >&2; inside 'systemctl status pilotage --no-pager; journalctl -u pilotage --no-pager -n 40' >&2 || true; exit 1; }

inside 'systemctl is-active --quiet pilotage' || fail "the service does not run"
pid=$(inside 'systemctl show -P MainPID pilotage')
inside "/opt/pilotage/bin/pilotage status -c /etc/pilotage/config.yaml" >"$work/status" || fail "it does not answer"
user=$(inside "stat -c %U /proc/$pid")
[ "$user" = pilotage ] || fail "it runs as $user"
inside "grep -q '^CapEff:.*0000000000000000' /proc/$pid/status" || fail "it has powers of root"
inside "grep -q '^NoNewPrivs:.*1' /proc/$pid/status" || fail "it could gain powers"
inside "grep -q '^Seccomp:.*2' /proc/$pid/status" || fail "its system calls are not filtered"
inside "systemd-analyze verify /etc/systemd/system/pilotage.service" >"$work/verify" 2>&1 || fail "systemd-analyze verify: $(cat "$work/verify")"
[ -s "$work/verify" ] && fail "systemd-analyze verify: $(cat "$work/verify")"
score=$(inside 'systemd-analyze security --no-pager pilotage.service' | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')

say "what a watchdog is for: the engine is stopped in its tracks"
inside "kill -STOP $pid"
for _ in $(seq 300); do
  again=$(inside 'systemctl show -P MainPID pilotage'); state=$(inside 'systemctl is-active pilotage' || true)
  [ "$again" != "$pid" ] && [ "$again" != 0 ] && [ "$state" = active ] && break
  sleep 0.1
done
[ "$again" != "$pid" ] && [ "$state" = active ] || fail "a frozen engine was not started again"

say "killed, it is back"
before=$(date +%s%N)
inside "kill -KILL $again"
for _ in $(seq 300); do
  back=$(inside 'systemctl show -P MainPID pilotage'); state=$(inside 'systemctl is-active pilotage' || true)
  [ "$back" != "$again" ] && [ "$back" != 0 ] && [ "$state" = active ] && break
  sleep 0.05
done
[ "$state" = active ] || fail "a killed engine was not started again"
after_ms=$((($(date +%s%N) - before) / 1000000))

say "reloaded and stopped in order"
inside 'systemctl reload pilotage' || fail "reload"
before=$(date +%s%N)
inside 'systemctl stop pilotage' || fail "stop"
stop_ms=$((($(date +%s%N) - before) / 1000000))
inside 'systemctl show -P Result pilotage' | grep -q success || fail "it did not stop in order"

cat "$work/status"
size=$(du -sm --one-file-system "$root/opt/pilotage" | cut -f1)
say "from an empty Debian 12: steps $took s, $size MB in /opt/pilotage, exposure $score, back $after_ms ms after kill -9, stopped in $stop_ms ms"
