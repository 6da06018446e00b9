//! RSA moduli that a flawed generator made, recognized by their residues (ROCA, CVE-2017-15361).

/// The first odd primes whose product divides the generator's constant, for every key size that it made.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the big-endian modulus is a power of 65537 modulo each of the primes, which is so for every flawed
/// key and for about one in 10^8 of the others.
pub(super) fn is_suspect(modulus: &[u8]) -> bool {
    PRIMES.into_iter().all(|prime| {
        let residue = modulus.iter().fold(0, |sum, byte| {
            // INVARIANT: sum < prime <= 167, so nothing here overflows.
            let shifted = u32::wrapping_mul(sum, 256).wrapping_add(u32::from(*byte));
            shifted.checked_rem(prime).unwrap_or(0)
        });
        powers_of_65537(prime).any(|power| power == residue)
    })
}

/// The subgroup that 65537 generates modulo `prime`.
fn powers_of_65537(prime: u32) -> impl Iterator<Item = u32> {
    let next = move |power: u32| power.wrapping_mul(65_537).checked_rem(prime).unwrap_or(0);
    let mut power = Some(1);
    std::iter::from_fn(move || {
        let current = power?;
        power = Some(next(current)).filter(|power| *power != 1);
        Some(current)
    })
    .take(168)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests {
    use super::*;

    /// 65537 to the power `exponent`, big-endian: 65537 x is x shifted by two bytes, plus x.
    fn power(exponent: u32) -> Vec<u8> {
        let mut digits: Vec<u32> = vec![1];
        for _ in 0..exponent {
            let mut carry = 0;
            let shifted: Vec<u32> = [0, 0].into_iter().chain(digits.iter().copied()).collect();
            digits.resize(shifted.len(), 0);
            digits = shifted
                .iter()
                .zip(&digits)
                .map(|(a, b)| {
                    let sum = a + b + carry;
                    carry = sum >> 8;
                    sum & 0xff
                })
                .collect();
            digits.push(carry);
            while digits.last() == Some(&0) {
                digits.pop();
            }
        }
        digits.iter().rev().map(|digit| u8::try_from(*digit).unwrap()).collect()
    }

    #[test]
    fn powers_of_the_generator_and_their_neighbours() {
        assert_eq!(power(2), [1, 0, 2, 0, 1]);
        let mut modulus = power(127);
        assert!(is_suspect(&modulus));
        *modulus.last_mut().unwrap() += 2;
        assert!(!is_suspect(&modulus));
    }
}
