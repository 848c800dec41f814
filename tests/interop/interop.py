# SPDX-License-Identifier: Apache-2.0
"""Every token minted here must be good elsewhere, and every token minted elsewhere under the same
key must be good here; one that was changed or signed by a stranger must be good nowhere. The
peers are PyJWT, jwcrypto, latchset jose and libjwt, as Debian ships them.

Keys are made anew for each run and given to signetd-imported, which is the real daemon but for
where its keys come from.
"""

import argparse
import base64
import json
import os
import tempfile
import time

import harness
import peers
from harness import check

HMAC = ("HS256", "HS384", "HS512")
PKCS1 = ("RS256", "RS384", "RS512")
PSS = ("PS256", "PS384", "PS512")
NIST = ("ES256", "ES384", "ES512")
KOBLITZ = ("ES256K",)
EDWARDS = ("EdDSA", "Ed448")
ALGS = HMAC + PKCS1 + PSS + NIST + KOBLITZ + EDWARDS

# What each peer knows. It is written down, and compared with what the peer says of itself, so that
# nothing is skipped in silence.
KNOWN = {
    "PyJWT": ALGS,
    "jwcrypto": ALGS,
    "jose": HMAC + PKCS1 + PSS + NIST,
    "libjwt": HMAC + PKCS1 + NIST,
}

EXIT_GOOD, EXIT_REFUSED = 0, 1

SUBJECT = "alice"
TTL_S = 300
EXTRA_CLAIMS = {"role": "admin", "n": 42, "ratio": 0.5, "list": [1, True, None],
                "nested": {"a": {"b": "c"}}, "text": "Gr\u00fc\u00dfe \u2713"}
PUBLIC_MEMBERS = {"kty", "crv", "n", "e", "x", "y", "kid", "alg", "use"}


class Signet:
    """The command line, talking to the daemon under test."""

    def __init__(self, program, address):
        self._program = program
        self._env = {**os.environ, "SIGNET_ADDRESS": address}
        self._env.pop("SIGNET_SERVER_UID", None)

    def _run(self, *arguments):
        return harness.run([self._program, *arguments], "", self._env)

    def sign(self, keyset):
        result = self._run("sign", keyset, "--sub", SUBJECT, "--aud", peers.AUDIENCE,
                           "--ttl", f"{TTL_S}s", "--claims", json.dumps(EXTRA_CLAIMS))
        check(result.returncode == 0, f"signet sign {keyset}: {result.stderr}")
        return result.stdout.strip()

    def jwks(self):
        result = self._run("jwks")
        check(result.returncode == 0, f"signet jwks: {result.stderr}")
        return result.stdout

    def _verify(self, token, arguments, exit_status):
        result = self._run("verify", token, "--aud", peers.AUDIENCE, "--json", *arguments)
        check(result.returncode == exit_status,
              f"signet verify: exit status {result.returncode} instead of {exit_status}: "
              f"{result.stdout}{result.stderr}")
        return json.loads(result.stdout)

    def check_good(self, token, claims, *arguments):
        verdict = self._verify(token, arguments, EXIT_GOOD)
        check(verdict["verified"] is True, f"signet verify: {verdict}")
        check_same(verdict["claims"], claims, "signet verify")

    def check_refused(self, token, reason, *arguments):
        verdict = self._verify(token, arguments, EXIT_REFUSED)
        check(verdict["verified"] is False and verdict["reason"] == reason,
              f"signet verify: {verdict} instead of {reason}")


class Table:
    """Rows are algorithms, columns are peers."""

    def __init__(self, title):
        self._title = title
        self._cells = {}
        self._columns = []
        self.failures = []

    def run(self, row, column, body):
        """Runs the checks of one cell; body is None where the peer does not know the algorithm."""
        if column not in self._columns:
            self._columns.append(column)
        if body is None:
            self._cells[row, column] = "-"
            return
        try:
            body()
            self._cells[row, column] = "ok"
        except Exception as error:  # whatever a peer raises, the others still get their turn
            self._cells[row, column] = "FAIL"
            self.failures.append(f"{row} {column}: {type(error).__name__}: {error}")

    def print(self):
        print(self._title)
        print("        " + "".join(f"{column:>10}" for column in self._columns))
        for row in dict.fromkeys(row for row, _ in self._cells):
            print(f"{row:8}" + "".join(f"{self._cells[row, c]:>10}" for c in self._columns))
        print()


def decode_part(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def change_subject(token):
    """The same token with one character of the payload changed: well-formed, and a lie."""
    header, payload, signature = token.split(".")
    claims = decode_part(payload)
    changed = claims.replace(SUBJECT.encode(), b"alicf")
    check(changed != claims and len(changed) == len(claims), "the subject is not in the payload")
    return ".".join((header, base64.urlsafe_b64encode(changed).rstrip(b"=").decode(), signature))


def check_same(got, wanted, who):
    check(got == wanted, f"{who} sees other claims: {got} instead of {wanted}")


def check_refused_by(peer, key, token, what):
    try:
        claims = peer.verify(key, token)
    except peers.Refused:
        return
    raise harness.Failed(f"{peer.name} takes {what}: {claims}")


def check_form(key, token):
    """Header and claims of a token of ours, read without anyone's help. Returns the claims."""
    parts = token.split(".")
    header, claims = (json.loads(decode_part(part)) for part in parts[:2])
    check(header == {"alg": key.header_alg, "kid": key.kid, "typ": "JWT"}, f"header: {header}")
    times = {name: claims.pop(name) for name in ("iat", "nbf", "exp")}
    check(all(type(value) is int for value in times.values()), f"times: {times}")
    check(times["nbf"] == times["iat"] and times["exp"] - times["iat"] == TTL_S, f"times: {times}")
    check(len(decode_part(claims.pop("jti"))) == 16, "jti is not 128 bits")
    wanted = {"iss": key.issuer, "sub": SUBJECT, "aud": peers.AUDIENCE, **EXTRA_CLAIMS}
    check_same(claims, wanted, "whoever decodes the token")
    return json.loads(decode_part(parts[1]))


def check_ours_there(signet, peer, keyset, key, stranger):
    token = signet.sign(keyset)
    claims = check_form(key, token)
    check_same(peer.verify(key, token), claims, peer.name)
    check_refused_by(peer, key, change_subject(token), "a changed token")
    check_refused_by(peer, stranger, token, "a token of another key")


def check_theirs_here(signet, peer, keyset, key, stranger):
    now = int(time.time())
    claims = {"iss": key.issuer, "sub": SUBJECT, "aud": peers.AUDIENCE, "iat": now, "nbf": now,
              "exp": now + TTL_S, "jti": f"{peer.name}-1", **EXTRA_CLAIMS}
    token = peer.sign(key, claims, key.kid)
    signet.check_good(token, claims)
    signet.check_refused(change_subject(token), "BAD_SIGNATURE")
    signet.check_refused(peer.sign(stranger, claims, key.kid), "BAD_SIGNATURE")
    signet.check_refused(peer.sign(key, {**claims, "iss": "https://other.example"}, key.kid),
                         "WRONG_ISSUER")

    nameless = peer.sign(key, claims, None)
    signet.check_good(nameless, claims, "--keyset", keyset)
    signet.check_refused(nameless, "UNKNOWN_KEY")
    signet.check_refused(peer.sign(stranger, claims, None), "BAD_SIGNATURE", "--keyset", keyset)


def check_by_jwks(signet, peer, keyset, key, jwks_file):
    token = signet.sign(keyset)
    check_same(peer.verify_with_jwks(jwks_file, key, token), check_form(key, token), peer.name)
    try:
        peer.verify_with_jwks(jwks_file, key, change_subject(token))
    except peers.Refused:
        return
    raise harness.Failed(f"{peer.name} takes a changed token by the JWK Set")


def keyset_name(alg):
    return "interop-" + alg.lower()


def check_jwks(text, keys):
    """The set has exactly the public keys, under their thumbprints, and nothing that is private."""
    members = json.loads(text)["keys"]
    for member in members:
        check(set(member) <= PUBLIC_MEMBERS, f"members of a public key: {sorted(member)}")
        check(member["use"] == "sig", f"use of a public key: {member}")
    found = {member["kid"]: member["alg"] for member in members}
    wanted = {key.kid: key.header_alg for key in keys.values() if not key.is_secret}
    check(len(members) == len(found) and found == wanted, f"JWK Set: {found} instead of {wanted}")


def check_known(all_peers):
    for peer in all_peers:
        said = {alg for alg in ALGS if peers.header_alg(alg) in peer.header_algs()}
        check(said == set(KNOWN[peer.name]),
              f"{peer.name} says that it knows {sorted(said)}; this test expects "
              f"{sorted(KNOWN[peer.name])}")


def run_tables(signet, all_peers, keys, strangers, jwks_file):
    def cell(peer, alg, check_cell, *extra):
        if alg not in KNOWN[peer.name]:
            return None
        return lambda: check_cell(signet, peer, keyset_name(alg), keys[alg], *extra)

    ours = Table("Signed here, verified there")
    theirs = Table("Signed there, verified here")
    by_jwks = Table("Signed here, verified there by the keys of jwks.json")
    for alg in ALGS:
        for peer in all_peers:
            ours.run(alg, peer.name, cell(peer, alg, check_ours_there, strangers[alg]))
            theirs.run(alg, peer.name, cell(peer, alg, check_theirs_here, strangers[alg]))
            if peer.reads_jwks and not keys[alg].is_secret:
                by_jwks.run(alg, peer.name, cell(peer, alg, check_by_jwks, jwks_file))
    return ours, theirs, by_jwks


def body():
    parser = argparse.ArgumentParser()
    parser.add_argument("--signet", required=True)
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--libjwt-tool", required=True)
    args = parser.parse_args()

    all_peers = [peers.PyJwt(), peers.JwCrypto(), peers.Jose(), peers.LibJwt(args.libjwt_tool)]
    check_known(all_peers)
    with tempfile.TemporaryDirectory(prefix="signet-") as folder:
        keys, strangers, arguments = {}, {}, []
        for alg in ALGS:
            issuer = f"https://{alg.lower()}.example"
            keys[alg] = peers.Key(alg, issuer, folder, alg)
            strangers[alg] = peers.Key(alg, issuer, folder, alg + "-stranger")
            arguments += ["--key", f"{keyset_name(alg)}={alg}={issuer}={keys[alg].daemon_file}"]
        with harness.Daemon(args.daemon, *arguments) as daemon:
            signet = Signet(args.signet, daemon.address)
            jwks = signet.jwks()
            check_jwks(jwks, keys)
            jwks_file = os.path.join(daemon.runtime_dir, "jwks.json")
            with open(jwks_file, encoding="utf-8") as file:
                check(json.load(file) == json.loads(jwks), "jwks.json is not what signet jwks says")
            tables = run_tables(signet, all_peers, keys, strangers, jwks_file)
    for table in tables:
        table.print()
    print("ok: it and its hostile twins came out right. -: the peer does not know the algorithm.")
    failures = [failure for table in tables for failure in table.failures]
    check(not failures, "\n".join([f"{len(failures)} cells", *failures]))


harness.main(body)
