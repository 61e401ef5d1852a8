//! Manifests of UAs: as the builder makes them, and such as it cannot make.

use broker::config::Config;
use cose::{
    Algorithm, Header, Payload, Signer, Thumbprint,
    cbor::{self, Encoder, Tag},
};
use keys::SigningKey;
use suit::{
    ComponentId, Digest, DigestAlgorithm, Uuid,
    build::{self, Built, Compatibility, Name, Ua},
};

pub(crate) fn owner() -> SigningKey {
    SigningKey::generate(Algorithm::Esp256).unwrap()
}

pub(crate) fn thumbprint(owner: &SigningKey) -> Thumbprint {
    owner.key().thumbprint()
}

pub(crate) fn compatibility() -> Compatibility {
    let directory = tempfile::tempdir().unwrap();
    let Config { vendor_id, class_ids, .. } = super::config("http://127.0.0.1", directory.path());
    Compatibility { vendor: vendor_id, class: class_ids[0] }
}

/// A UA whose program travels in the envelope.
pub(crate) fn ua(
    owner: &SigningKey,
    name: &str,
    sequence_number: u64,
    program: &[u8],
    arguments: &[&str],
) -> Built {
    let payload = build::Payload::integrated(program);
    signed(owner, name, sequence_number, payload, arguments)
}

/// A UA whose program is fetched.
pub(crate) fn ua_at(
    owner: &SigningKey,
    name: &str,
    sequence_number: u64,
    uri: &str,
    program: &[u8],
) -> Built {
    let payload = build::Payload::at(build::Uri::new(uri).unwrap(), program);
    signed(owner, name, sequence_number, payload, &[])
}

pub(crate) fn signed(
    owner: &SigningKey,
    name: &str,
    sequence_number: u64,
    payload: build::Payload<'_>,
    arguments: &[&str],
) -> Built {
    let arguments = serde_json::to_vec(arguments).unwrap();
    let name = Name::new(name).unwrap();
    Ua::new(name, sequence_number, compatibility(), payload)
        .invocable(Some(&arguments))
        .sign(owner)
        .unwrap()
}

/// A manifest by hand, for what the builder refuses to say.
pub(crate) struct ByHand {
    pub(crate) components: Vec<ComponentId>,
    pub(crate) manifest: Option<ComponentId>,
    /// Whether image-match follows fetch.
    pub(crate) compared: bool,
    /// Whether the shared sequence names the digest.
    pub(crate) digested: bool,
    pub(crate) invoke: Option<Vec<u8>>,
    /// Another command of the install section.
    pub(crate) command: Option<i64>,
    pub(crate) uri: String,
    pub(crate) program: Vec<u8>,
}

impl ByHand {
    /// One that is accepted.
    pub(crate) fn good(owner: Thumbprint) -> Self {
        let component = ComponentId::in_ree(owner, "relay").unwrap();
        Self {
            manifest: Some(component.manifest().unwrap()),
            components: vec![component],
            compared: true,
            digested: true,
            invoke: Some(b"[]".to_vec()),
            command: None,
            uri: "#relay".to_owned(),
            program: b"#!/bin/sh\nexec sleep 60\n".to_vec(),
        }
    }

    pub(crate) fn sign(&self, signer: &SigningKey) -> Vec<u8> {
        let manifest = self.encode();
        let digest = Digest::of_member(DigestAlgorithm::Sha256, &manifest).unwrap().encode();
        let unprotected = Header { kccs: Some(signer.key().clone()), ..Header::default() };
        let payload = Payload::Detached(&digest);
        let block = cose::sign1(signer, Header::default(), unprotected, &[], payload).unwrap();
        let wrapper = cbor::encode(|e| e.array(2)?.bytes(&digest)?.bytes(&block)?.ok());
        cbor::encode(|e| {
            let integrated = self.uri.starts_with('#');
            e.tag(Tag::new(107))?.map(2 + u64::from(integrated))?;
            e.u8(2)?.bytes(&wrapper)?.u8(3)?.bytes(&manifest)?;
            if integrated {
                e.str(&self.uri)?.bytes(&self.program)?;
            }
            e.ok()
        })
    }

    fn encode(&self) -> Vec<u8> {
        let common = cbor::encode(|e| {
            e.map(2)?.u8(2)?.array(self.components.len() as u64)?;
            for component in &self.components {
                identifier(e, component)?;
            }
            e.u8(4)?.bytes(&self.shared())?.ok()
        });
        let install = cbor::encode(|e| {
            let others = [self.command.is_some(), self.compared].map(u64::from);
            e.array(4 + 2 * (others[0] + others[1]))?;
            e.u8(20)?.map(1)?.u8(21)?.str(&self.uri)?;
            e.u8(21)?.u8(0)?;
            if let Some(command) = self.command {
                e.i64(command)?.u8(0)?;
            }
            if self.compared {
                e.u8(3)?.u8(0)?;
            }
            e.ok()
        });
        let validate = cbor::encode(|e| match self.compared {
            true => e.array(2)?.u8(3)?.u8(0)?.ok(),
            false => e.array(2)?.u8(1)?.u8(0)?.ok(),
        });
        cbor::encode(|e| {
            let optional = [self.manifest.is_some(), self.invoke.is_some()].map(u64::from);
            e.map(5 + optional[0] + optional[1])?;
            e.u8(1)?.u8(1)?.u8(2)?.u8(1)?.u8(3)?.bytes(&common)?;
            if let Some(manifest) = &self.manifest {
                identifier(e.u8(5)?, manifest)?;
            }
            e.u8(7)?.bytes(&validate)?;
            if let Some(arguments) = &self.invoke {
                let invoke = cbor::encode(|e| {
                    e.array(4)?.u8(20)?.map(1)?.u8(23)?.bytes(arguments)?.u8(23)?.u8(0)?.ok()
                });
                e.u8(9)?.bytes(&invoke)?;
            }
            e.u8(20)?.bytes(&install)?.ok()
        })
    }

    fn shared(&self) -> Vec<u8> {
        let Compatibility { vendor, class } = compatibility();
        let digest = Digest::sha256(cose::sha256(&self.program)).encode();
        cbor::encode(|e| {
            let selects = self.components.len() > 1;
            e.array(6 + 2 * u64::from(selects))?;
            if selects {
                e.u8(12)?.u8(0)?;
            }
            e.u8(20)?.map(2 + u64::from(self.digested))?;
            e.u8(1)?.bytes(Uuid::bytes(&vendor))?.u8(2)?.bytes(Uuid::bytes(&class))?;
            if self.digested {
                e.u8(3)?.bytes(&digest)?;
            }
            e.u8(1)?.u8(0)?.u8(2)?.u8(0)?.ok()
        })
    }
}

fn identifier(e: &mut Encoder<Vec<u8>>, component: &ComponentId) -> cbor::Written {
    e.array(component.parts().len() as u64)?;
    for part in component.parts() {
        e.bytes(part)?;
    }
    Ok(())
}
