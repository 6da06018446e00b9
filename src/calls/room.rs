//! Room that clients share: nobody takes so much of it that others find none.
//!
//! A client may take a place while it has fewer places than are free, or than a part of those. So one client alone
//! never gets all of them, whatever it sends. Newcomers find none only where many clients have taken all that they can.

use std::net::{IpAddr, Ipv6Addr};

/// Who takes up room, as far as addresses tell: IPv4 addresses, and IPv6 addresses by the 64 bits that one subscriber
/// commonly holds. All whose address is not known are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client(Option<IpAddr>);

impl Client {
    /// Whoever sends from `address`.
    pub fn new(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let subscriber = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(subscriber))
            }
            address => address,
        }))
    }
}

/// Room for so many.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// How many places there are.
    pub places: usize,
    /// How many free ones there must be for each that a client has already. With 1, one alone gets half of the room;
    /// with 2, a third.
    pub spare: usize,
}

impl Room {
    /// Whether a client that has `own` of the `taken` places may take one more.
    pub fn may_take(self, own: usize, taken: usize) -> bool {
        own.saturating_mul(self.spare) < self.places.saturating_sub(taken)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clients_are_told_apart_by_what_subscribers_hold() {
        let client = |text: &str| Client::new(Some(text.parse().unwrap()));
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:0:0:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "0.0.0.1", false),
        ] {
            assert_eq!(client(one) == client(other), same, "{one} {other}");
        }
        assert_eq!(Client::new(None), Client::default());
        assert_ne!(Client::new(None), client("::"));
    }

    #[test]
    fn one_alone_gets_a_part_and_few_never_get_all() {
        for (places, spare, first, all) in [(128, 2, 43, 11), (256, 1, 128, 9), (128, 1, 64, 8)] {
            let room = Room { places, spare };
            let (mut taken, mut clients) = (0, Vec::new());
            while taken < places {
                let mut own = 0;
                while room.may_take(own, taken) {
                    own += 1;
                    taken += 1;
                }
                clients.push(own);
            }
            assert_eq!((clients[0], clients.len()), (first, all), "{room:?} {clients:?}");
        }
    }

    proptest! {
        /// Whatever ten clients take and give back in whatever order, an eleventh finds room.
        #[test]
        fn newcomers_find_room(steps in prop::collection::vec((0_usize..10, any::<bool>()), 1..2000), places in 128_usize..300) {
            let room = Room { places, spare: 2 };
            let mut held = [0_usize; 10];
            for (client, takes) in steps {
                let taken = held.iter().sum();
                if !takes {
                    held[client] = held[client].saturating_sub(1);
                } else if room.may_take(held[client], taken) {
                    held[client] += 1;
                }
                prop_assert!(room.may_take(0, held.iter().sum()), "{:?}", held);
            }
        }
    }
}
