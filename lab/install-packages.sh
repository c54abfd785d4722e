#!/bin/bash
# Installs Debian packages, where PROGRAM (or a library, *.so.N) is given only if it is missing, and starts none
# of their services:
#   lab/install-packages.sh [PROGRAM=]PACKAGE ...
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
export PATH=$PATH:/usr/sbin:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')

missing=()
for pair in "$@"; do
  case $pair in
    *.so.*=*) ldconfig -p | grep -qF "${pair%%=*} " && continue ;;
    *=*) command -v "${pair%%=*}" >/dev/null && continue ;;
  esac
  missing+=("${pair#*=}")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $(id -u) -ne 0 ]]; then
  echo "missing: ${missing[*]}; as root: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "apt: installing ${missing[*]}"

# Only the programs are wanted: no cluster, and no service on a well-known port.
if [[ ! -e /etc/postgresql-common/createcluster.conf && " ${missing[*]} " == *" postgresql "* ]]; then
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
  trap 'rm -f "$policy"' EXIT
fi

log=$(mktemp)
apt() { apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" >>"$log" 2>&1; }
install() { apt install -y --no-install-recommends "${missing[@]}"; }
# The package lists of a fresh machine are empty, and those of an old one point at versions that are gone.
{ install || { apt update && install; }; } || { tail -n 30 "$log" >&2; exit 1; }
rm -f "$log"
