//! Where each vendor's collateral comes from, and how an answer becomes files.
//!
//! Intel: provisioning certification service, or a cache with the same paths (PCCS); AMD: key
//! distribution service. Addresses are configured; without one nothing of that vendor is fetched.

use std::{net::IpAddr, sync::Arc};

use reqwest::Url;
use verifier::{
    Collateral, Platform,
    evidence::snp::product::{Product, TcbVersion},
    platform::Tee,
    value::Hex,
};

use super::{
    fetch::{Answer, FetchFailed, Fetcher},
    keeper::NotRenewed,
    schedule::Part,
};

/// The vendors' services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Intel's, such as `https://api.trustedservices.intel.com`.
    pub intel: Option<String>,
    /// AMD's, such as `https://kdsintf.amd.com`.
    pub amd: Option<String>,
}

impl Endpoints {
    /// Whether every address is https, or http on this machine.
    #[must_use]
    pub fn are_usable(&self) -> bool {
        self.each().all(|address| {
            Url::parse(address).is_ok_and(|url| match url.scheme() {
                "https" => true,
                "http" => is_loopback(&url),
                _ => false,
            })
        })
    }

    /// Whether every address is on this machine.
    #[must_use]
    pub fn are_loopback(&self) -> bool {
        self.each().all(|address| Url::parse(address).is_ok_and(|url| is_loopback(&url)))
    }

    fn each(&self) -> impl Iterator<Item = &String> {
        self.intel.iter().chain(&self.amd)
    }

    /// Fetches one part of a platform's collateral.
    pub(super) async fn fetch(
        &self,
        fetcher: &Fetcher,
        platform: &Platform,
        part: Part,
    ) -> Result<Collateral, NotRenewed> {
        match platform {
            Platform::Intel { tee, fmspc, authority } => {
                let base = self.intel.as_deref().ok_or(NotRenewed::NoEndpoint("Intel"))?;
                match part {
                    Part::Endorsements => intel_statements(fetcher, base, *tee, fmspc).await,
                    Part::Revocation => intel_lists(fetcher, base, authority.as_str()).await,
                }
            }
            Platform::Amd { product, chip_id, tcb } => {
                let base = self.amd.as_deref().ok_or(NotRenewed::NoEndpoint("AMD"))?;
                amd(fetcher, base, *product, chip_id, tcb, part).await
            }
        }
    }
}

async fn intel_statements(
    fetcher: &Fetcher,
    base: &str,
    tee: Tee,
    fmspc: &[u8; 6],
) -> Result<Collateral, NotRenewed> {
    let tee = match tee {
        Tee::Sgx => "sgx",
        Tee::Tdx => "tdx",
    };
    let service = format!("{base}/{tee}/certification/v4");
    let (tcb, identity) = (format!("{service}/tcb?fmspc={}", Hex(*fmspc)), "qe/identity");
    let tcb_info = fetcher.get(&tcb).await?;
    let qe_identity = fetcher.get(&format!("{service}/{identity}")).await?;
    let mut files = Collateral::default();
    let (json, signature) = signed(&tcb_info, "tcbInfo")?;
    files.insert("tcb_info.json", json);
    files.insert("tcb_info.sig.hex", signature);
    let (json, signature) = signed(&qe_identity, "enclaveIdentity")?;
    files.insert("qe_identity.json", json);
    files.insert("qe_identity.sig.hex", signature);
    files.insert("tcb_signing_chain.pem", chain(&tcb_info, "tcb-info-issuer-chain")?);
    Ok(files)
}

async fn intel_lists(
    fetcher: &Fetcher,
    base: &str,
    authority: &str,
) -> Result<Collateral, NotRenewed> {
    let service = format!("{base}/sgx/certification/v4");
    let list = fetcher.get(&format!("{service}/pckcrl?ca={authority}&encoding=der")).await?;
    let root = fetcher.get(&format!("{service}/rootcacrl")).await?;
    let mut files = Collateral::default();
    files.insert("pck_crl.der", list.body.as_slice());
    files.insert("pck_crl_issuer_chain.pem", chain(&list, "sgx-pck-crl-issuer-chain")?);
    files.insert("root_ca_crl.der", root.body.as_slice());
    Ok(files)
}

/// A report of version 2 does not tell its product: then each is tried.
async fn amd(
    fetcher: &Fetcher,
    base: &str,
    product: Option<Product>,
    chip_id: &[u8; 64],
    tcb: &[u8; 8],
    part: Part,
) -> Result<Collateral, NotRenewed> {
    let products = product.map_or(Product::ALL.to_vec(), |product| vec![product]);
    let mut files = Collateral::default();
    let mut failed = None;
    for product in products {
        let (name, address) = match part {
            Part::Endorsements => ("vcek.der".to_owned(), vcek(base, product, chip_id, tcb)),
            Part::Revocation => {
                let name = product.as_str().to_lowercase();
                (format!("crl-{name}.der"), format!("{base}/vcek/v1/{product}/crl"))
            }
        };
        match fetcher.get(&address).await {
            Ok(answer) => {
                files.insert(name, answer.body.as_slice());
                if part == Part::Endorsements {
                    break;
                }
            }
            // This chip is of another product.
            Err(error @ FetchFailed::Status { .. }) => failed = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match failed {
        Some(error) if files.is_empty() => Err(error.into()),
        _ => Ok(files),
    }
}

fn vcek(base: &str, product: Product, chip_id: &[u8; 64], tcb: &[u8; 8]) -> String {
    let chip = &chip_id[..product.chip_id_length()];
    let names = [
        ("fmc", "fmcSPL"),
        ("bootloader", "blSPL"),
        ("tee", "teeSPL"),
        ("snp", "snpSPL"),
        ("microcode", "ucodeSPL"),
    ];
    let version = TcbVersion::decode(product, tcb);
    let parts = version.parts().map(|(part, svn)| {
        let name = names.iter().find(|(own, _)| *own == part).map_or(part, |(_, name)| name);
        format!("{name}={svn:02}")
    });
    let query = parts.collect::<Vec<_>>().join("&");
    format!("{base}/vcek/v1/{product}/{}?{query}", hex::encode(chip))
}

/// Takes the signed object out of `{"<member>":<object>,"signature":"<hex>"}` as it stands: what
/// was signed are these very bytes.
fn signed(answer: &Arc<Answer>, member: &'static str) -> Result<(Vec<u8>, Vec<u8>), NotRenewed> {
    let unexpected = || NotRenewed::Unexpected(member);
    let text = std::str::from_utf8(&answer.body).map_err(|_| unexpected())?.trim();
    let object = text.strip_prefix('{').and_then(|text| text.trim_start().strip_prefix('"'));
    let object = object.and_then(|text| text.strip_prefix(member)?.strip_prefix('"'));
    let object = object.and_then(|text| text.trim_start().strip_prefix(':')).map(str::trim_start);
    let (object, signature) =
        object.and_then(|text| text.rsplit_once("\"signature\"")).ok_or_else(unexpected)?;
    let object = object.trim_end().strip_suffix(',').map(str::trim_end).ok_or_else(unexpected)?;
    let signature = signature.trim_start().strip_prefix(':').map(str::trim_start);
    let signature = signature.and_then(|text| text.strip_prefix('"')?.split_once('"'));
    let (signature, end) = signature.ok_or_else(unexpected)?;
    if end.trim() != "}" {
        return Err(unexpected());
    }
    Ok((object.as_bytes().to_vec(), signature.as_bytes().to_vec()))
}

/// Older caches spell the headers with `sgx-` before them.
fn chain(answer: &Arc<Answer>, header: &'static str) -> Result<Vec<u8>, NotRenewed> {
    let spellings = [header.to_owned(), format!("sgx-{header}")];
    let found = spellings.iter().find_map(|name| answer.chains.get(name));
    found.map(|chain| chain.as_bytes().to_vec()).ok_or(NotRenewed::Unexpected(header))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod unit {
    use super::*;

    fn answer(body: &str) -> Arc<Answer> {
        Arc::new(Answer { body: body.as_bytes().to_vec(), chains: Default::default() })
    }

    #[test]
    fn the_signed_object_is_taken_out_as_it_stands() {
        let (object, signature) =
            signed(&answer(r#"{"tcbInfo":{"a": [1 ,2]},"signature":"00ff"}"#), "tcbInfo").unwrap();

        assert_eq!(object, br#"{"a": [1 ,2]}"#);
        assert_eq!(signature, b"00ff");
    }

    #[test]
    fn other_answers_are_not_what_was_expected() {
        for body in ["", "{}", r#"{"tcbInfo":{}}"#, r#"{"other":{},"signature":"00"}"#] {
            assert_eq!(signed(&answer(body), "tcbInfo"), Err(NotRenewed::Unexpected("tcbInfo")));
        }
        let trailing = r#"{"tcbInfo":{},"signature":"00"}x"#;
        assert!(signed(&answer(trailing), "tcbInfo").is_err());
    }

    #[test]
    fn a_vcek_is_named_by_chip_and_reported_tcb_in_the_layout_of_its_product() {
        let chip = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let tcb = [1, 2, 3, 4, 0, 0, 7, 211];

        let milan = vcek("https://kds", Product::Milan, &chip, &tcb);
        let turin = vcek("https://kds", Product::Turin, &chip, &tcb);

        assert!(milan.starts_with("https://kds/vcek/v1/Milan/000102"));
        assert!(milan.ends_with("3e3f?blSPL=01&teeSPL=02&snpSPL=07&ucodeSPL=211"));
        let query = "fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=211";
        assert_eq!(turin, format!("https://kds/vcek/v1/Turin/0001020304050607?{query}"));
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        let usable =
            |address: &str| Endpoints { intel: Some(address.to_owned()), amd: None }.are_usable();

        assert!(usable("https://api.trustedservices.intel.com") && usable("http://[::1]:8081"));
        assert!(!usable("http://pccs.example") && !usable("ftp://localhost") && !usable("x"));
    }
}
