# SPDX-License-Identifier: Apache-2.0
"""Other people's implementations behind one interface.

A peer has a name, the Debian package it comes from, and

    header_algs()               the header "alg" values that it says it knows
    sign(key, claims, kid)      a token; without a "kid" if that is None
    verify(key, token)          its claims, or Refused
    verify_with_jwks(file, key, token)   the same with the keys of a JWK Set; only where reads_jwks
"""

import json
import os

import harness

try:
    import jwt as pyjwt
    from jwt import PyJWKClient
except ModuleNotFoundError:
    pyjwt = None
try:
    from jwcrypto import common as jwcrypto_common
    from jwcrypto import jwk as jwcrypto_jwk
    from jwcrypto import jws as jwcrypto_jws
    from jwcrypto import jwt as jwcrypto_jwt
except ModuleNotFoundError:
    jwcrypto_jwk = None

AUDIENCE = "orders"

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "ES256K": "secp256k1",
           "EdDSA": "Ed25519", "Ed448": "Ed448"}


class Refused(Exception):
    """The peer judged a token and found it not good."""


def header_alg(alg):
    """The header's "alg" for an algorithm of the configuration: both Edwards curves share one."""
    return "EdDSA" if alg == "Ed448" else alg


class Key:
    """A fresh key, in every form that a peer wants it in."""

    def __init__(self, alg, issuer, folder, name):
        self.alg = alg
        self.issuer = issuer
        self.header_alg = header_alg(alg)
        self.is_secret = alg.startswith("HS")
        self._path = os.path.join(folder, name)
        self.jwk = self._generate()
        # The daemon computes the kid of a public key itself; a secret's has to be told.
        self.kid = name if self.is_secret else self.jwk.thumbprint()
        members = self.jwk.export(as_dict=True)
        members.pop("kid", None)
        if self.is_secret:
            members["kid"] = self.kid
        self.daemon_file = self._write(".daemon.jwk", json.dumps(members).encode())
        members["alg"] = self.header_alg
        self.jwk_file = self._write(".jwk", json.dumps(members).encode())
        if self.is_secret:
            secret = jwcrypto_common.base64url_decode(members["k"])
            self.private = self.public = secret
        else:
            self.private = self.jwk.export_to_pem(private_key=True, password=None)
            self.public = self.jwk.export_to_pem()
        self.private_file = self._write(".private", self.private)
        self.public_file = self._write(".public", self.public)

    def _generate(self):
        if self.is_secret:
            return jwcrypto_jwk.JWK.generate(kty="oct", size=int(self.alg[2:]))
        if self.alg in _CURVES:
            kty = "OKP" if self.header_alg == "EdDSA" else "EC"
            return jwcrypto_jwk.JWK.generate(kty=kty, crv=_CURVES[self.alg])
        return jwcrypto_jwk.JWK.generate(kty="RSA", size=2048)

    def _write(self, suffix, content):
        with open(self._path + suffix, "xb", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(content)
        return self._path + suffix


def _header(key, kid):
    header = {"alg": key.header_alg, "typ": "JWT"}
    return header if kid is None else {**header, "kid": kid}


class PyJwt:
    name = "PyJWT"
    package = "python3-jwt"
    reads_jwks = True

    def __init__(self):
        if pyjwt is None:
            raise harness.Missing(f"PyJWT is not there; install the Debian package {self.package}")

    def header_algs(self):
        return set(pyjwt.algorithms.get_default_algorithms())

    def sign(self, key, claims, kid):
        return pyjwt.encode(claims, key.private, algorithm=key.header_alg,
                            headers=_header(key, kid))

    def verify(self, key, token):
        return self._verify(key.public, key, token)

    def verify_with_jwks(self, jwks_file, key, token):
        client = PyJWKClient("file://" + jwks_file)
        found = client.get_signing_key_from_jwt(token)
        return self._verify(found.key, key, token)

    def _verify(self, public, key, token):
        try:
            return pyjwt.decode(token, public, algorithms=[key.header_alg], audience=AUDIENCE,
                                issuer=key.issuer, options={"require": ["exp", "iat", "jti"]})
        except pyjwt.InvalidTokenError as error:
            raise Refused(str(error)) from error


class JwCrypto:
    name = "jwcrypto"
    package = "python3-jwcrypto"
    reads_jwks = True

    def __init__(self):
        if jwcrypto_jwk is None:
            raise harness.Missing(
                f"jwcrypto is not there; install the Debian package {self.package}")

    def header_algs(self):
        return set(jwcrypto_jws.default_allowed_algs)

    def sign(self, key, claims, kid):
        token = jwcrypto_jwt.JWT(header=_header(key, kid), claims=claims)
        token.make_signed_token(key.jwk)
        return token.serialize()

    def verify(self, key, token):
        return self._verify(jwcrypto_jwk.JWK(**json.loads(_read(key.jwk_file))), key, token)

    def verify_with_jwks(self, jwks_file, key, token):
        keys = jwcrypto_jwk.JWKSet.from_json(_read(jwks_file))
        if any(member.has_private for member in keys):
            raise harness.Failed("the JWK Set holds a private key")
        return self._verify(keys.get_key(key.kid), key, token)

    def _verify(self, public, key, token):
        wanted = {"iss": key.issuer, "aud": AUDIENCE}
        try:
            judged = jwcrypto_jwt.JWT(jwt=token, key=public, algs=[key.header_alg],
                                      check_claims=wanted)
        except (jwcrypto_common.JWException, ValueError) as error:
            raise Refused(str(error)) from error
        return json.loads(judged.claims)


class Jose:
    name = "jose"
    package = "jose"
    reads_jwks = True

    def __init__(self):
        harness.need_program("jose", self.package)

    def header_algs(self):
        return set(_output_of(["jose", "alg"]).split())

    def sign(self, key, claims, kid):
        template = json.dumps({"protected": _header(key, kid)})
        return _output_of(["jose", "jws", "sig", "--compact", "-I", "-", "-k", key.jwk_file,
                           "-s", template], json.dumps(claims))

    def verify(self, key, token):
        return self.verify_with_jwks(key.jwk_file, key, token)

    def verify_with_jwks(self, jwks_file, key, token):
        result = harness.run(["jose", "jws", "ver", "-i", "-", "-k", jwks_file, "-O", "-"], token)
        if result.returncode != 0:
            raise Refused(result.stderr)
        return json.loads(result.stdout)


class LibJwt:
    name = "libjwt"
    package = "libjwt-dev"
    reads_jwks = False

    def __init__(self, tool):
        if not tool:
            raise harness.Missing(
                f"libjwt was not there when this was built; install the Debian package "
                f"{self.package} and configure anew")
        self._tool = tool

    def header_algs(self):
        return set(_output_of([self._tool, "algs"]).split())

    def sign(self, key, claims, kid):
        return _output_of([self._tool, "sign", key.header_alg, key.private_file] +
                          ([] if kid is None else [kid]), json.dumps(claims))

    def verify(self, key, token):
        result = harness.run([self._tool, "verify", key.header_alg, key.public_file], token)
        if result.returncode == 1:
            raise Refused("libjwt refused it")
        harness.check(result.returncode == 0, f"libjwt_tool verify: {result.stderr}")
        return json.loads(result.stdout)


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def _output_of(argv, stdin=""):
    result = harness.run(argv, stdin)
    harness.check(result.returncode == 0, f"{argv[0]} {argv[1]}: {result.stderr}")
    return result.stdout.strip()
