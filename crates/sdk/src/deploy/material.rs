//! What a project consists of, read and signed: what is built once, and what is sealed late.

use std::{fs::File, io::Read as _};

use api::PackageName;
use channel::bundle::Bundle;
use cose::{Entropy, Key, Secret, Signer};
use suit::ComponentId;

use super::DeployFailed;
use crate::{
    Project,
    live::NotSent,
    package::{Package, Packager},
    project::{Owner, Unusable},
    release::{self, NotReleased, Release},
    rights::Invocation,
};

/// The packages of a project that hold no Personalization Data, and the data itself.
#[derive(Debug)]
pub struct Material {
    /// The Trusted Application.
    pub ta: Package,
    /// The Untrusted Application, as a manifest of its own.
    pub ua: Option<Package>,
    /// UA and TA as one package (case 2).
    pub ua_ta: Option<Package>,
    /// Whom the owner lets call the application.
    pub callers: Vec<Key>,
    /// Absent in what the Network M/OC owns.
    pd: Option<Secret>,
}

/// Says where devices find a payload of a given digest.
type BlobUri<'a> = &'a dyn Fn(&str) -> String;

impl Material {
    /// Reads the project, and builds and signs what needs no receiver.
    ///
    /// # Errors
    /// A file does not read, or a package cannot be built.
    pub fn of(
        project: &Project,
        owner: &dyn Signer,
        uri: BlobUri<'_>,
    ) -> Result<Self, DeployFailed> {
        let (callers, pd) = match project.owner {
            Owner::NetworkUser => {
                // What flows live is read as it flows.
                let pd = match project.live()? {
                    Some(_) => None,
                    None => Some(Secret::new(project.pd()?)),
                };
                (release::callers(&project.callers()?)?, pd)
            }
            Owner::Moc => (Vec::new(), None),
        };
        let packager = Packager::new(owner, project.instance, uri);
        let (ta, ua) = applications(project, &packager)?;
        let ua_ta = match (&ua, project.case) {
            (Some(ua), 2) => {
                // Grows when either of them grows.
                let sequence =
                    project.ta.sequence + project.ua.as_ref().map_or(0, |ua| ua.sequence);
                Some(packager.bundle(&package_name(project), sequence, &[ua, &ta])?)
            }
            _ => None,
        };
        Ok(Self { ta, ua, ua_ta, callers, pd })
    }

    /// A package without secrets.
    ///
    /// # Errors
    /// The project has no such part.
    pub fn package(&self, name: PackageName) -> Result<&Package, Unusable> {
        let found = match name {
            PackageName::Ta => Some(&self.ta),
            PackageName::Ua => self.ua.as_ref(),
            PackageName::UaTa => self.ua_ta.as_ref(),
            PackageName::Pd | PackageName::UaTaPd | PackageName::TaPd | PackageName::UaPd => None,
        };
        found.ok_or(Unusable::NotInCase(name.figure()))
    }

    /// Seals the data as it is read into the spool file, for a relay, and makes the package around
    /// it. The answer names what the file holds by its digest.
    #[expect(clippy::too_many_arguments, reason = "those of `seal`, and where the data is")]
    pub(super) fn spool(
        &self,
        project: &Project,
        owner: &dyn Signer,
        uri: BlobUri<'_>,
        name: PackageName,
        to: &release::To<'_>,
        mut data: File,
        spool: &mut File,
        entropy: &mut dyn Entropy,
    ) -> Result<(Release, Package, [u8; 32]), DeployFailed> {
        let packager = Packager::new(owner, project.instance, uri);
        let own = self.own_name(project, name);
        let (release, sha256) = if name == PackageName::UaPd {
            let length =
                data.metadata().map_err(|error| NotReleased::from(NotSent::Data(error)))?;
            let head = Bundle::head(&self.whole_ua(project, &packager)?, length.len());
            let mut whole = head.as_slice().chain(data);
            release::spool(owner, &packager, &own, to, &mut whole, spool, entropy)?
        } else {
            release::spool(owner, &packager, &own, to, &mut data, spool, entropy)?
        };
        let package = self.around(project, &packager, name, to, &release)?;
        Ok((release, package, sha256))
    }

    fn data(&self) -> Result<&[u8], Unusable> {
        self.pd.as_ref().map(Secret::expose).ok_or(Unusable::NotInCase("(PD)"))
    }

    /// Seals the Personalization Data, alone or in its bundle, for one device and one exchange.
    /// The answer is the release and the package that is handed over.
    pub(super) fn seal(
        &self,
        project: &Project,
        owner: &dyn Signer,
        uri: BlobUri<'_>,
        name: PackageName,
        to: &release::To<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<(Release, Package), DeployFailed> {
        let packager = Packager::new(owner, project.instance, uri);
        let own = self.own_name(project, name);
        let bundle;
        let content = if name == PackageName::UaPd {
            bundle = Bundle::encode(&self.whole_ua(project, &packager)?, self.data()?);
            bundle.expose()
        } else {
            self.data()?
        };
        let release = release::seal(owner, &packager, &own, to, content, entropy)?;
        let package = self.around(project, &packager, name, to, &release)?;
        Ok((release, package))
    }

    /// The package that a release is handed over in: its own, or one with what it belongs to.
    fn around(
        &self,
        project: &Project,
        packager: &Packager<'_>,
        name: PackageName,
        to: &release::To<'_>,
        release: &Release,
    ) -> Result<Package, DeployFailed> {
        let parts: Vec<&Package> = match (name, &self.ua) {
            (PackageName::UaTaPd, Some(ua)) => vec![&self.ta, &release.package, ua],
            (PackageName::TaPd, _) => vec![&self.ta, &release.package],
            _ => return Ok(release.package.clone()),
        };
        Ok(packager.bundle(&package_name(project), to.sequence, &parts)?)
    }

    /// The name of the data's own component.
    fn own_name(&self, project: &Project, name: PackageName) -> String {
        let kind = if name == PackageName::UaPd { "ua-pd" } else { "pd" };
        format!("{}.{kind}", self.ta_name(project))
    }

    /// The TA's name by its own component: another owner chose another one than the project's.
    fn ta_name<'a>(&'a self, project: &'a Project) -> &'a str {
        let component = self.ta.built.component.as_ref();
        component.and_then(ComponentId::name).unwrap_or(&project.name)
    }

    /// Case 5: the UA's whole envelope, which is sealed beside the data as one plaintext.
    fn whole_ua(
        &self,
        project: &Project,
        packager: &Packager<'_>,
    ) -> Result<Vec<u8>, DeployFailed> {
        let ua = project.ua.as_ref().ok_or(Unusable::NotInCase("(UA,PD)"))?;
        let program = project.ua_program(ua)?;
        let (own, invocation) = (ua_name(project), invocation(&self.ta, ua));
        let ua = packager.whole_ua(&own, ua.sequence, &program, &invocation)?;
        Ok(ua.built.envelope)
    }
}

/// The TA's and the UA's package, each a manifest of its own.
fn applications(
    project: &Project,
    packager: &Packager<'_>,
) -> Result<(Package, Option<Package>), DeployFailed> {
    let ta = match project.pinned_ta()? {
        Some(pinned) => pinned,
        None => packager.ta(&project.name, project.ta.sequence, project.ta_content()?)?,
    };
    let ua = match &project.ua {
        Some(ua) => {
            let (own, invocation) = (ua_name(project), invocation(&ta, ua));
            let program = project.ua_program(ua)?;
            Some(packager.ua(&own, ua.sequence, program, &invocation)?)
        }
        None => None,
    };
    Ok((ta, ua))
}

/// `{ta}` stands for the TA's component.
fn invocation(ta: &Package, ua: &crate::project::Ua) -> Invocation {
    let name = ta.built.component.as_ref().and_then(ComponentId::name).unwrap_or_default();
    let component = format!("{}/{name}", ta.built.owner);
    let arguments = ua.arguments.iter().map(|word| word.replace("{ta}", &component)).collect();
    Invocation { arguments, rights: ua.rights.clone() }
}

fn ua_name(project: &Project) -> String {
    format!("{}-ua", project.name)
}

/// The name of the root manifest of a package of several parts.
fn package_name(project: &Project) -> String {
    format!("{}.package", project.name)
}
