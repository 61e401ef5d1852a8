//! What operator and release signer decide beside what they have to.

/// More settings than the stage needs.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Lines of the M/OC's table `[tam]`.
    pub tam: &'static str,
    /// The suite in which the Agents sign TEEP messages, if not the usual one.
    pub suite: Option<&'static str>,
    /// Lines of the Agents' settings before `[[tam]]`.
    pub agent: &'static str,
    /// Whether the Agents serve a second M/OC as well.
    pub second_moc: bool,
    /// Whom the Agents encrypt Evidence and reports to.
    pub confidant: Confidant,
}

/// Whom the Agents encrypt to what only their TAM has to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Confidant {
    /// Nobody: TLS has to do.
    #[default]
    Nobody,
    /// The TAM.
    Tam,
    /// Somebody else, hexadecimal COSE_Key: a mistake of the release signer.
    Other(String),
}
