#!/bin/sh
# Certificates for a broker, its devices and the engine, with openssl alone.
#
#   pki.sh FOLDER ca NAME          a new authority
#   pki.sh FOLDER server HOST      a certificate for the broker; HOST is what clients connect to (a name or an address)
#   pki.sh FOLDER client NAME      a certificate for a device, or for the engine; NAME is what the access list sees
#   pki.sh FOLDER revoke NAME      a device that was lost: its certificate counts no more
#   pki.sh FOLDER crl              the list of revoked certificates anew, before it is over
set -eu
umask 077

DAYS=825
CRL_DAYS=365

fail() { echo "pki.sh: $1" >&2; exit 1; }

[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1 command=$2 name=${3:-}

# A name becomes a part of topics (city/NAME/…): a wildcard in it would open the topics of all others.
check_name() {
  case $name in
    '' | *[!A-Za-z0-9._:-]*) fail "\"$name\" is no name: letters, digits, - _ . and : only" ;;
  esac
}

config() {
  cat <<END
[ca]
default_ca = here
[here]
database = $folder/index.txt
new_certs_dir = $folder/issued
serial = $folder/serial
crlnumber = $folder/crlnumber
certificate = $folder/ca.crt
private_key = $folder/ca.key
default_md = sha256
default_days = $DAYS
default_crl_days = $CRL_DAYS
policy = names
unique_subject = no
[names]
commonName = supplied
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $(case $name in *[!0-9.]*) case $name in *:*) echo "IP:$name" ;; *) echo "DNS:$name" ;; esac ;; *) echo "IP:$name" ;; esac)
[client]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
[req]
distinguished_name = dn
prompt = no
[dn]
CN = $name
END
}

new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ||
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

issue() {
  check_name
  [ -f "$folder/ca.key" ] || fail "there is no authority in $folder: pki.sh $folder ca NAME"
  [ ! -e "$folder/$name.key" ] || fail "$folder/$name.key is there already; revoke $name first, or take another name"
  config >"$folder/openssl.cnf"
  new_key "$folder/$name.key"
  openssl req -new -config "$folder/openssl.cnf" -key "$folder/$name.key" -out "$folder/$name.csr"
  openssl ca -batch -notext -config "$folder/openssl.cnf" -extensions "$1" -in "$folder/$name.csr" -out "$folder/$name.crt" 2>"$folder/openssl.log" ||
    { cat "$folder/openssl.log" >&2; exit 1; }
  rm "$folder/$name.csr"
  echo "$folder/$name.crt and $folder/$name.key"
}

list_revoked() {
  config >"$folder/openssl.cnf"
  openssl ca -gencrl -config "$folder/openssl.cnf" -out "$folder/crl.pem"
  echo "$folder/crl.pem"
}

case $command in
  ca)
    [ -n "$name" ] || fail "name the authority"
    [ ! -e "$folder/ca.key" ] || fail "there is an authority in $folder already"
    mkdir -p "$folder/issued"
    : >"$folder/index.txt"
    openssl rand -hex 16 >"$folder/serial"
    echo 01 >"$folder/crlnumber"
    config >"$folder/openssl.cnf"
    new_key "$folder/ca.key"
    openssl req -new -x509 -config "$folder/openssl.cnf" -extensions authority -key "$folder/ca.key" -days 3650 -out "$folder/ca.crt"
    list_revoked >/dev/null
    echo "$folder/ca.crt and $folder/ca.key"
    ;;
  server) issue server ;;
  client) issue client ;;
  revoke)
    check_name
    [ -f "$folder/$name.crt" ] || fail "there is no certificate of $name in $folder"
    config >"$folder/openssl.cnf"
    openssl ca -config "$folder/openssl.cnf" -revoke "$folder/$name.crt" 2>/dev/null
    mv "$folder/$name.crt" "$folder/$name.revoked.crt"
    rm -f "$folder/$name.key"
    list_revoked
    ;;
  crl) list_revoked ;;
  *) fail "there is no command \"$command\"" ;;
esac
