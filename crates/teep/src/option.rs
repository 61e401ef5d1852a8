//! The labels of the options map, one table.

use crate::numbering::Numbering;

/// A key of the options map, in the order of the registry (section 13.3).
///
/// The order is also the order of the numbers in both numberings, so an encoder that writes
/// options in this order writes them deterministically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// supported-teep-cipher-suites.
    SupportedTeepCipherSuites,
    /// challenge.
    Challenge,
    /// versions.
    Versions,
    /// supported-suit-cose-profiles.
    SupportedSuitCoseProfiles,
    /// selected-version.
    SelectedVersion,
    /// attestation-payload.
    AttestationPayload,
    /// tc-list.
    TcList,
    /// ext-list.
    ExtList,
    /// manifest-list.
    ManifestList,
    /// msg.
    Msg,
    /// err-msg.
    ErrMsg,
    /// attestation-payload-format.
    AttestationPayloadFormat,
    /// requested-tc-list.
    RequestedTcList,
    /// unneeded-manifest-list.
    UnneededManifestList,
    /// component-id, inside requested-tc-info.
    ComponentId,
    /// tc-manifest-sequence-number, inside requested-tc-info.
    TcManifestSequenceNumber,
    /// have-binary, inside requested-tc-info.
    HaveBinary,
    /// suit-reports.
    SuitReports,
    /// token.
    Token,
    /// supported-freshness-mechanisms.
    SupportedFreshnessMechanisms,
    /// err-lang.
    ErrLang,
    /// err-code, in Update only.
    ErrCode,
    /// Private: the TAM is content with Evidence of the agent layer alone, over hardware Evidence
    /// that it has appraised before. Outside the registry (0 to 1023), so a stranger ignores it
    /// (section 6) and sends Evidence in full, which is safe.
    Renewal,
    /// Private: the challenge of the QueryRequest that an Error answers. A QueryRequest with a
    /// challenge has no token, so nothing else would bind an Error to it.
    RequestChallenge,
}

impl Label {
    /// Every label.
    pub const ALL: [Self; 24] = [
        Self::SupportedTeepCipherSuites,
        Self::Challenge,
        Self::Versions,
        Self::SupportedSuitCoseProfiles,
        Self::SelectedVersion,
        Self::AttestationPayload,
        Self::TcList,
        Self::ExtList,
        Self::ManifestList,
        Self::Msg,
        Self::ErrMsg,
        Self::AttestationPayloadFormat,
        Self::RequestedTcList,
        Self::UnneededManifestList,
        Self::ComponentId,
        Self::TcManifestSequenceNumber,
        Self::HaveBinary,
        Self::SuitReports,
        Self::Token,
        Self::SupportedFreshnessMechanisms,
        Self::ErrLang,
        Self::ErrCode,
        Self::Renewal,
        Self::RequestChallenge,
    ];

    /// The label's numbers: of draft -26, and of drafts -18 to -25.
    const fn numbers(self) -> (u64, u64) {
        match self {
            Self::SupportedTeepCipherSuites => (1, 1),
            Self::Challenge => (2, 2),
            Self::Versions => (3, 3),
            Self::SupportedSuitCoseProfiles => (4, 4),
            Self::SelectedVersion => (5, 6),
            Self::AttestationPayload => (6, 7),
            Self::TcList => (7, 8),
            Self::ExtList => (8, 9),
            Self::ManifestList => (9, 10),
            Self::Msg => (10, 11),
            Self::ErrMsg => (11, 12),
            Self::AttestationPayloadFormat => (12, 13),
            Self::RequestedTcList => (13, 14),
            Self::UnneededManifestList => (14, 15),
            Self::ComponentId => (15, 16),
            Self::TcManifestSequenceNumber => (16, 17),
            Self::HaveBinary => (17, 18),
            Self::SuitReports => (18, 19),
            Self::Token => (19, 20),
            Self::SupportedFreshnessMechanisms => (20, 21),
            Self::ErrLang => (21, 22),
            Self::ErrCode => (22, 23),
            Self::Renewal => (75_801, 75_801),
            Self::RequestChallenge => (75_802, 75_802),
        }
    }

    /// The number on the wire.
    pub const fn number(self, numbering: Numbering) -> u64 {
        let (v26, legacy) = self.numbers();
        match numbering {
            Numbering::V26 => v26,
            Numbering::Legacy18 => legacy,
        }
    }

    /// The label with this number, if there is one.
    pub fn from_number(number: u64, numbering: Numbering) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.number(numbering) == number)
    }

    /// The label's name as the document spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SupportedTeepCipherSuites => "supported-teep-cipher-suites",
            Self::Challenge => "challenge",
            Self::Versions => "versions",
            Self::SupportedSuitCoseProfiles => "supported-suit-cose-profiles",
            Self::SelectedVersion => "selected-version",
            Self::AttestationPayload => "attestation-payload",
            Self::TcList => "tc-list",
            Self::ExtList => "ext-list",
            Self::ManifestList => "manifest-list",
            Self::Msg => "msg",
            Self::ErrMsg => "err-msg",
            Self::AttestationPayloadFormat => "attestation-payload-format",
            Self::RequestedTcList => "requested-tc-list",
            Self::UnneededManifestList => "unneeded-manifest-list",
            Self::ComponentId => "component-id",
            Self::TcManifestSequenceNumber => "tc-manifest-sequence-number",
            Self::HaveBinary => "have-binary",
            Self::SuitReports => "suit-reports",
            Self::Token => "token",
            Self::SupportedFreshnessMechanisms => "supported-freshness-mechanisms",
            Self::ErrLang => "err-lang",
            Self::ErrCode => "err-code",
            Self::Renewal => "renewal",
            Self::RequestChallenge => "request-challenge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_ascend_and_are_found_again_in_both_numberings() {
        for numbering in [Numbering::V26, Numbering::Legacy18] {
            let numbers: Vec<u64> = Label::ALL.iter().map(|l| l.number(numbering)).collect();

            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
            for label in Label::ALL {
                assert_eq!(Label::from_number(label.number(numbering), numbering), Some(label));
            }
        }
    }

    #[test]
    fn the_unassigned_labels_name_nothing() {
        assert_eq!(Label::from_number(0, Numbering::V26), None);
        assert_eq!(Label::from_number(23, Numbering::V26), None);
        assert_eq!(Label::from_number(5, Numbering::Legacy18), None);
    }
}
