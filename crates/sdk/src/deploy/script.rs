//! What the Network User does in each case, in order.

use api::PackageName;

/// One thing that the Network User does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Hands over a package without secrets.
    Hand(PackageName),
    /// Asks for evidence and appraises it; the channel will end there.
    Attest(End),
    /// Seals Personalization Data to the key that the last appraisal accepted.
    Release(PackageName),
}

/// Where the secure channel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the TEEP Agent: evidence of the Agent is enough.
    Agent,
    /// At the Trusted Application: the evidence has to name it and its key.
    Ta,
}

/// The acts of a case; empty for a case that the draft does not have.
#[must_use]
pub fn script(case: u8, with_ua: bool) -> Vec<Act> {
    let ua = with_ua.then_some(Act::Hand(PackageName::Ua)).into_iter();
    match case {
        1 => vec![Act::Attest(End::Agent), Act::Release(PackageName::UaTaPd)],
        2 => {
            vec![Act::Hand(PackageName::UaTa), Act::Attest(End::Ta), Act::Release(PackageName::Pd)]
        }
        3 => ua
            .chain([
                Act::Hand(PackageName::Ta),
                Act::Attest(End::Ta),
                Act::Release(PackageName::Pd),
            ])
            .collect(),
        4 => ua.chain([Act::Attest(End::Agent), Act::Release(PackageName::TaPd)]).collect(),
        5 => vec![
            Act::Attest(End::Agent),
            Act::Hand(PackageName::Ta),
            Act::Attest(End::Ta),
            Act::Release(PackageName::UaPd),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_attests_the_end_of_its_channel_before_it_releases() {
        for (case, with_ua, end) in [
            (1, true, End::Agent),
            (2, true, End::Ta),
            (3, true, End::Ta),
            (3, false, End::Ta),
            (4, true, End::Agent),
            (4, false, End::Agent),
            (5, true, End::Ta),
        ] {
            let acts = script(case, with_ua);

            let [.., Act::Attest(attested), Act::Release(released)] = acts[..] else {
                panic!("case {case}: {acts:?}");
            };
            assert_eq!(attested, end, "case {case}");
            assert!(released.holds_data(), "case {case}");
            let early = acts.iter().filter(|act| matches!(act, Act::Release(_)));
            assert_eq!(early.count(), 1, "case {case}");
            let handed = |act: &Act| matches!(act, Act::Hand(name) if name.holds_data());
            assert!(!acts.iter().any(handed), "case {case}");
        }
        assert_eq!(script(6, true), []);
    }
}
