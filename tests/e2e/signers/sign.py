"""Signs requests by http-message-signatures, another implementation of RFC 9421, with keys that it makes.

Reads a list of requests, `{method, url, headers, body, components}`, and writes `{algorithm: {key, requests}}`: for each
algorithm what verifies, and the headers that each request has then.
"""

import base64
import json
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms


class Request:
    def __init__(self, method, url, headers):
        self.method, self.url, self.headers = method, url, dict(headers)


SECRET = bytes(range(32))
KEYS = {
    "ecdsa-p256-sha256": (algorithms.ECDSA_P256_SHA256, ec.generate_private_key(ec.SECP256R1())),
    "ecdsa-p384-sha384": (algorithms.ECDSA_P384_SHA384, ec.generate_private_key(ec.SECP384R1())),
    "ed25519": (algorithms.ED25519, ed25519.Ed25519PrivateKey.generate()),
    "hmac-sha256": (algorithms.HMAC_SHA256, SECRET),
    "rsa-pss-sha512": (algorithms.RSA_PSS_SHA512, rsa.generate_private_key(65537, 2048)),
    "rsa-v1_5-sha256": (algorithms.RSA_V1_5_SHA256, rsa.generate_private_key(65537, 3072)),
}


def verifying(key):
    if key == SECRET:
        return {"secret": base64.urlsafe_b64encode(key).decode().rstrip("=")}
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return {"publicKey": key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()}


def signed(name, asked):
    algorithm, key = KEYS[name]
    resolver = MappingKeyResolver(public_keys={}, private_keys={name: key})
    signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver)
    request = Request(asked["method"], asked["url"], asked["headers"])
    body = asked["body"].encode() or None
    signer.sign(request, key_id=name, covered_component_ids=asked["components"], body=body)
    return list(request.headers.items())


requests = json.load(sys.stdin)
made = {
    name: {"key": verifying(KEYS[name][1]), "requests": [signed(name, asked) for asked in requests]} for name in KEYS
}
json.dump(made, sys.stdout)
