#!/bin/bash
# Unpacks a Debian-built Asterisk into a folder of its own, without installing it:
#   lab/install-asterisk.sh [TARGET] [SUITE]      (default: .cache/asterisk, sid)
# sid has Asterisk 22; where sid cannot be had, bullseye's 16 is taken instead. No chroot and no
# maintainer scripts: apt with a private state folder resolves and verifies the packages, dpkg-deb
# unpacks them, and TARGET/bin/asterisk starts the program through its own loader and libraries.
# A finished TARGET is left alone, and a new one replaces an old one only after it has started.
set -euo pipefail
RECIPE=1
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${1:-$repo/.cache/asterisk}
suites=("${2:-sid}")
[[ ${suites[0]} == bullseye || -n ${2:-} ]] || suites+=(bullseye)

mkdir -p "$(dirname "$target")"
target=$(cd "$(dirname "$target")" && pwd)/$(basename "$target")
exec 9>"$target.lock"
flock 9 # one at a time

stamp=$target/.stamp
if [[ -f $stamp && "$(head -n1 "$stamp")" == "recipe=$RECIPE" ]] && "$target/bin/asterisk" -V >/dev/null 2>&1; then
  echo "$("$target/bin/asterisk" -V) is in $target"
  exit 0
fi

new=$target.new
arch=$(dpkg --print-architecture)

packages_of() { # SUITE: what to unpack; the languages that pbxbill speaks
  echo asterisk asterisk-modules asterisk-config
  echo asterisk-core-sounds-{en,fr,es}-gsm
}

prepare_apt() { # SUITE: a private apt that knows this suite only
  local suite=$1 mirror keyring
  # The machine's own mirror of the main archive, so that no host is named here.
  mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "main" && $1 ~ /\/debian\/?$/ { print $1; exit }')
  [[ -n $mirror ]] || { echo "asterisk: apt has no Debian archive configured here" >&2; return 1; }
  work=$new/.apt
  mkdir -p "$work"/{etc/apt.conf.d,etc/preferences.d,etc/trusted.gpg.d,lists/partial,cache/archives/partial}
  : >"$work/status"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [[ $suite == bullseye ]] && keyring=$(removed_keys_too "$work")
  echo "deb [signed-by=$keyring arch=$arch] $mirror $suite main" >"$work/etc/sources.list"
  APT=(apt-get -q
    -o Dir::Etc="$work/etc" -o Dir::Etc::sourcelist="$work/etc/sources.list"
    -o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=-
    -o Dir::State="$work" -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status"
    -o Dir::Cache="$work/cache" -o Dir::Cache::archives="$work/cache/archives"
    -o APT::Install-Recommends=false -o APT::Sandbox::User= -o APT::Architectures="$arch"
    -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::http::Timeout=30
    -o Acquire::Check-Valid-Until=false -o Debug::NoLocking=true)
}

removed_keys_too() { # WORK: an old suite may be signed by keys that Debian has retired since
  cat /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-removed-keys.gpg \
    >"$1/keyring.gpg" 2>/dev/null || true
  echo "$1/keyring.gpg"
}

download() { # SUITE
  local packages
  read -r -a packages <<<"$(packages_of "$1" | tr '\n' ' ')"
  "${APT[@]}" update && "${APT[@]}" install -y --download-only "${packages[@]}"
}

unpack() {
  local dir deb
  mkdir -p "$new/root"
  for dir in bin sbin lib lib64; do # a merged /usr, as today's packages expect
    mkdir -p "$new/root/usr/$dir"
    ln -s "usr/$dir" "$new/root/$dir"
  done
  for deb in "$work"/cache/archives/*.deb; do
    case ${deb##*/} in # wanted at install time only, never by the program
      perl* | libperl* | adduser_* | passwd_* | base-passwd_* | debconf_* | init-system-helpers_* | \
        dpkg_* | gnupg* | gpg* | dirmngr_* | pinentry* | pci.ids_*) continue ;;
    esac
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$new/root" --no-same-owner --keep-directory-symlink \
      --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
      --exclude='./usr/share/lintian/*' --exclude='./usr/share/bug/*' || return 1
  done
}

link_sounds() { # the links that Debian's alternatives would make, one per language
  local sounds=$new/root/usr/share/asterisk/sounds language voice
  for language in en fr es; do
    [[ -d $sounds/$language && ! -L $sounds/$language ]] && continue
    voice=$(cd "$sounds" && ls -d "${language}"_*/ 2>/dev/null | head -n1) || true
    [[ -z $voice ]] || ln -sfn "${voice%/}" "$sounds/$language"
  done
}

write_wrapper() {
  local libs loader
  libs=$(ls -d "$new"/root/usr/lib/*-linux-gnu* | head -n1)
  loader=$(ls "$libs"/ld-linux*.so.* "$new"/root/usr/lib*/ld-linux*.so.* 2>/dev/null | head -n1) || true
  mkdir -p "$new/bin"
  cat >"$new/bin/asterisk" <<WRAP
#!/bin/bash
# Asterisk through its own loader and libraries
root=\$(cd "\$(dirname "\$(readlink -f "\$0")")/../root" && pwd)
exec "\$root/${loader#"$new"/root/}" --library-path "\$root/${libs#"$new"/root/}:\$root/usr/lib" "\$root/usr/sbin/asterisk" "\$@"
WRAP
  chmod +x "$new/bin/asterisk"
}

for suite in "${suites[@]}"; do
  rm -rf "$new"
  mkdir -p "$new"
  log=$target.log
  echo "asterisk: unpacking $suite's packages"
  if prepare_apt "$suite" && download "$suite" >"$log" 2>&1 && unpack >>"$log" 2>&1 &&
    link_sounds && write_wrapper && "$new/bin/asterisk" -V >>"$log" 2>&1; then
    (cd "$work/cache/archives" && ls ./*.deb) >"$new/packages.txt"
    rm -rf "$work"
    printf 'recipe=%s\n%s\n' "$RECIPE" "$suite" >"$new/.stamp"
    rm -rf "$target"
    mv "$new" "$target"
    echo "$("$target/bin/asterisk" -V) is in $target"
    exit 0
  fi
  echo "asterisk: $suite's packages cannot be used here; the end of $log:" >&2
  tail -n 15 "$log" >&2 || true
done
rm -rf "$new"
exit 1
