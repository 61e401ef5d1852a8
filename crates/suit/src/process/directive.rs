//! Directives that change components (suit-manifest section 8.4.10).

use super::Processor;
use super::failure::Fault;
use super::frame::Scene;
use super::machine::Stop;
use super::operation::Asked;
use crate::command::Directive;
use crate::encryption::Info;
use crate::parameter::key;
use crate::section::{Procedure, Section};

impl Processor<'_> {
    pub(super) fn directive(&mut self, scene: Scene, directive: Directive) -> Result<(), Stop> {
        match directive {
            Directive::ProcessDependency => self.process_dependency(scene),
            Directive::Write => self.write(scene),
            Directive::Fetch => self.fetch(scene),
            Directive::Copy => self.copy(scene),
            Directive::Swap => self.swap(scene),
            Directive::Invoke => self.invoke(scene),
            Directive::Wait => {
                self.required(scene, key::WAIT_INFO)?;
                self.ask(scene, Asked::Wait);
                Ok(())
            }
            Directive::Unlink => self.unlink(scene),
        }
    }

    fn write(&mut self, scene: Scene) -> Result<(), Stop> {
        self.required(scene, key::CONTENT)?;
        self.may_change(scene, scene.slot)?;
        self.order(&[scene.slot], &[])?;
        self.check_payload(scene, self.byte_parameter(scene.slot, key::CONTENT))?;
        // Content of the manifest is authentic whatever the cipher is.
        if let Some(info) = self.byte_parameter(scene.slot, key::ENCRYPTION_INFO) {
            Info::decode(info)?;
        }
        self.ask(scene, Asked::Write(None));
        Ok(())
    }

    //= suit 13.45 (M): fetch without uri fails; scheme not allowed fails. M 8.4.10.4
    //= suit 13.46 (M): fetch of `#x` reads the envelope text key; missing key fails, no network
    //= access for fragment-only references. M 7.5
    //= suit 13.14 (M): Text key in envelope not referenced by any uri: ignored. M 7.5
    //= suit 13.67 (M): Integrated dependency: text key equals uri. D 8.1.1
    fn fetch(&mut self, scene: Scene) -> Result<(), Stop> {
        self.required(scene, key::URI)?;
        let uri = self.uri(scene.slot).unwrap_or_default().to_owned();
        self.may_change(scene, scene.slot)?;
        self.order(&[scene.slot], &[])?;
        self.dependencies_first(scene)?;
        self.check_cipher(scene, None)?;
        if uri.starts_with('#') {
            let program = &self.programs[scene.program];
            let payload = program.payloads.get(&uri).cloned();
            let payload = payload.ok_or_else(|| Fault::NoPayload(uri.clone()))?;
            self.check_payload(scene, Some(program.slice(&payload)))?;
            self.ask(scene, Asked::Write(Some(payload)));
            return Ok(());
        }
        let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        if !self.context.device.schemes.contains(&scheme) {
            return Err(Fault::Scheme(scheme).into());
        }
        let dependency = self.programs[scene.program].dependencies.contains_key(&scene.index);
        let asked = match self.digest(scene.slot) {
            Some(digest) if !dependency => Asked::Present(digest),
            _ => Asked::Fetch,
        };
        self.ask(scene, asked);
        Ok(())
    }

    //= suit 13.48 (M): copy without source or with absent source fails; swap likewise. M
    //= 8.4.10.5, 8.4.10.9
    fn copy(&mut self, scene: Scene) -> Result<(), Stop> {
        let source = self.source(scene)?;
        self.may_change(scene, scene.slot)?;
        self.order(&[scene.slot], &[source])?;
        self.check_cipher(scene, Some(source))?;
        //= suit 13.84 (S): CTR digest checked before decryption when present. E 7.2
        let encrypted = self.byte_parameter(scene.slot, key::ENCRYPTION_INFO).is_some();
        let asked = match self.digest(source).filter(|_| encrypted) {
            Some(expected) => Asked::Ciphertext { source, expected },
            None => Asked::Copy(source),
        };
        self.ask(scene, asked);
        Ok(())
    }

    fn swap(&mut self, scene: Scene) -> Result<(), Stop> {
        let source = self.source(scene)?;
        self.may_change(scene, scene.slot)?;
        self.may_change(scene, source)?;
        self.order(&[scene.slot, source], &[scene.slot, source])?;
        self.ask(scene, Asked::Swap(source));
        Ok(())
    }

    //= suit 13.49 (M): invoke only after successful validate in an Invocation procedure. M 8.4.6
    fn invoke(&mut self, scene: Scene) -> Result<(), Stop> {
        let allowed = match self.run.procedure {
            Procedure::Invocation => self.run.validated || self.context.limits.invoke_unvalidated,
            // The first processor has validated before it delegates.
            Procedure::Only(section) => section == Section::Invoke,
            Procedure::Update | Procedure::Uninstall => false,
        };
        if !allowed {
            return Err(Fault::Unvalidated.into());
        }
        self.ask(scene, Asked::Invoke);
        Ok(())
    }

    /// The component that source-component names.
    fn source(&self, scene: Scene) -> Result<usize, Stop> {
        self.required(scene, key::SOURCE_COMPONENT)?;
        let index = self.number(scene.slot, key::SOURCE_COMPONENT).unwrap_or_default();
        self.bound(scene.program, index)
    }

    fn required(&self, scene: Scene, key: i64) -> Result<(), Stop> {
        match self.parameter(scene.slot, key) {
            Some(_) => Ok(()),
            None => Err(Fault::ParameterUnset(key).into()),
        }
    }

    //= suit 13.72 (M): Write to a component with non-zero count aborts. D 5.6.5
    /// Whether no other manifest uses the component.
    ///
    /// A manifest may change what only it uses, or it could never be installed again or updated.
    fn may_change(&self, scene: Scene, slot: usize) -> Result<(), Stop> {
        let component = &self.slots[slot].component;
        let identity = &self.programs[scene.program].identity;
        match self.context.installed.references.others(component, identity) {
            0 => Ok(()),
            others => Err(Fault::Referenced(others).into()),
        }
    }

    //= suit 13.50 (M): Strict-order false with a component as both source and target aborts. M
    //= 6.7
    fn order(&mut self, targets: &[usize], sources: &[usize]) -> Result<(), Stop> {
        let Some(free) = &mut self.run.free_order else { return Ok(()) };
        free.targets.extend(targets);
        free.sources.extend(sources);
        if free.targets.is_disjoint(&free.sources) { Ok(()) } else { Err(Fault::Order.into()) }
    }

    //= suit 13.47 (R): fetch is bounded by image-size, else by a hard limit; more bytes abort
    //= early.
    pub(super) fn size_limit(&self, slot: usize) -> u64 {
        let most = self.context.limits.payload_bytes;
        match self.size(slot) {
            // A ciphertext is larger than the plaintext that image-size is about.
            Some(_) if self.byte_parameter(slot, key::ENCRYPTION_INFO).is_some() => most,
            Some(size) => size.min(most),
            None => most,
        }
    }

    fn check_payload(&self, scene: Scene, payload: Option<&[u8]>) -> Result<(), Stop> {
        let (size, limit) = (payload.unwrap_or_default().len() as u64, self.size_limit(scene.slot));
        if size > limit { Err(Fault::TooLarge { size, limit }.into()) } else { Ok(()) }
    }

    //= suit 13.83 (M): CTR without digest of plaintext or ciphertext refused (except in-manifest
    //= content). E 4.3, 7.2
    fn check_cipher(&self, scene: Scene, source: Option<usize>) -> Result<(), Stop> {
        let Some(info) = self.byte_parameter(scene.slot, key::ENCRYPTION_INFO) else {
            return Ok(());
        };
        let bound = self.digest(scene.slot).is_some()
            || source.is_some_and(|source| self.digest(source).is_some());
        if Info::decode(info)?.is_authenticating() || bound {
            Ok(())
        } else {
            Err(Fault::Unauthenticated.into())
        }
    }

    //= suit 13.74 (M): Payload not fetched before all dependencies are. D 5.5
    fn dependencies_first(&self, scene: Scene) -> Result<(), Stop> {
        let dependencies = &self.programs[scene.program].dependencies;
        if self.run.procedure != Procedure::Update || dependencies.contains_key(&scene.index) {
            return Ok(());
        }
        let here = |index: &u64| {
            let at = (scene.program, *index);
            self.run.stored.contains(&at) || self.run.integrity.contains_key(&at)
        };
        match dependencies.keys().find(|index| !here(index)) {
            Some(missing) => Err(Fault::DependencyFirst(*missing).into()),
            None => Ok(()),
        }
    }

    /// The content of a component is another one.
    pub(super) fn changed(&mut self, scene: &Scene, slot: usize) {
        self.drop_integrity(slot);
        let binding = &self.bindings[scene.program];
        let index = binding.iter().find(|(_, bound)| **bound == slot).map(|(index, _)| *index);
        self.run.stored.extend(index.map(|index| (scene.program, index)));
    }
}
