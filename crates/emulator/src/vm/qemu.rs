//! QEMU's command line: for the emulated hardware, and for each real one.
//!
//! What the real hardware measures or fixes at launch is named here as QEMU names it: `tdx-guest`
//! since QEMU 10.1, `sev-snp-guest` since 9.1, `sev-guest` since 2.12, `rme-guest` as in Arm's
//! patches for it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::image::{Architecture, Image};

/// How the guest's instructions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// By the host's kernel.
    Kvm,
    /// By QEMU itself.
    Tcg,
}

impl Accelerator {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// What keeps the guest confidential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing: the hardware is emulated.
    Emulated,
    /// Intel TDX.
    Tdx {
        /// MRCONFIGID.
        mrconfigid: [u8; 48],
    },
    /// AMD SEV-SNP.
    SevSnp {
        /// HOST_DATA.
        host_data: [u8; 32],
        /// The guest's policy.
        policy: u64,
        /// Where the C-bit lies, as the processor says.
        cbitpos: u32,
    },
    /// AMD SEV and SEV-ES: the owner gives session and key.
    Sev {
        /// The guest's policy.
        policy: u32,
        /// Where the C-bit lies, as the processor says.
        cbitpos: u32,
        /// The session of the owner, a file with base64.
        session: String,
        /// The owner's key, a file with base64.
        owner_key: String,
    },
    /// Arm CCA.
    Cca {
        /// RPV.
        personalization_value: [u8; 64],
    },
}

/// Where the parts of a guest lie, as paths that QEMU opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The firmware, where the machine has one.
    pub firmware: Option<String>,
    /// The kernel.
    pub kernel: String,
    /// The initial RAM disk.
    pub initrd: String,
}

/// What the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub processors: u32,
}

/// The program that runs guests for this processor.
pub const fn program(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Aarch64 => "qemu-system-aarch64",
        Architecture::X8664 => "qemu-system-x86_64",
    }
}

/// QEMU's arguments.
///
/// Descriptor `port` is the connected socket of the serial port; the console is standard output.
pub fn arguments(
    image: &Image,
    parts: &Parts,
    resources: Resources,
    accelerator: Accelerator,
    protection: &Protection,
    port: i32,
) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut put = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
    put(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    put(&["-name", "tamarack-guest"]);
    put(&["-machine", &machine(image.architecture, accelerator, protection)]);
    put(&["-cpu", processor(image.architecture, accelerator)]);
    put(&["-smp", &resources.processors.to_string()]);
    put(&["-m", &format!("{}M", resources.memory_mib)]);
    if let Some(object) = object(protection) {
        put(&["-object", &object]);
    }
    if matches!(protection, Protection::SevSnp { .. }) {
        let size = resources.memory_mib;
        put(&["-object", &format!("memory-backend-memfd,id=ram0,size={size}M,share=true")]);
    }
    if let Some(firmware) = &parts.firmware {
        put(&["-bios", firmware]);
    }
    put(&["-kernel", &parts.kernel, "-initrd", &parts.initrd]);
    put(&["-append", &image.command_line]);
    put(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    put(&["-chardev", &format!("socket,id=link,fd={port}")]);
    put(&["-device", "virtio-serial-pci,max_ports=2"]);
    put(&["-device", "virtserialport,chardev=link,name=org.tamarack.link"]);
    put(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    arguments
}

fn machine(
    architecture: Architecture,
    accelerator: Accelerator,
    protection: &Protection,
) -> String {
    let board = match architecture {
        Architecture::Aarch64 => "virt,gic-version=max",
        // Without an HPET and its like the microvm board hangs now and then.
        Architecture::X8664 => "q35",
    };
    let accelerator = match accelerator {
        Accelerator::Kvm => "accel=kvm",
        Accelerator::Tcg => "accel=tcg",
    };
    let more = match protection {
        Protection::Emulated => "",
        Protection::Tdx { .. } => ",kernel-irqchip=split,confidential-guest-support=tee0",
        Protection::SevSnp { .. } => {
            ",vmport=off,confidential-guest-support=tee0,memory-backend=ram0"
        }
        Protection::Sev { .. } => ",vmport=off,confidential-guest-support=tee0",
        Protection::Cca { .. } => ",confidential-guest-support=tee0",
    };
    format!("{board},{accelerator}{more}")
}

/// Newer processors than these make QEMU 7.2 and Linux 6.1 fail now and then; the instruction for
/// random numbers are what seeds the guest's.
const fn processor(architecture: Architecture, accelerator: Accelerator) -> &'static str {
    match (architecture, accelerator) {
        (_, Accelerator::Kvm) => "host",
        (Architecture::Aarch64, Accelerator::Tcg) => "cortex-a57",
        (Architecture::X8664, Accelerator::Tcg) => "qemu64,+rdrand",
    }
}

/// The object that makes QEMU ask the hardware for a confidential guest.
fn object(protection: &Protection) -> Option<String> {
    let base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    Some(match protection {
        Protection::Emulated => return None,
        Protection::Tdx { mrconfigid } => {
            format!("tdx-guest,id=tee0,mrconfigid={}", base64(mrconfigid))
        }
        Protection::SevSnp { host_data, policy, cbitpos } => format!(
            "sev-snp-guest,id=tee0,cbitpos={cbitpos},reduced-phys-bits=1,policy={policy:#x},\
             kernel-hashes=on,host-data={}",
            base64(host_data)
        ),
        Protection::Sev { policy, cbitpos, session, owner_key } => format!(
            "sev-guest,id=tee0,cbitpos={cbitpos},reduced-phys-bits=1,policy={policy:#x},\
             kernel-hashes=on,session-file={session},dh-cert-file={owner_key}"
        ),
        Protection::Cca { personalization_value } => format!(
            "rme-guest,id=tee0,measurement-algorithm=sha256,personalization-value={}",
            base64(personalization_value)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emulated_machine_needs_no_hardware() {
        assert_eq!(
            command(Architecture::X8664, Accelerator::Tcg, &Protection::Emulated),
            "-nodefaults -no-user-config -display none -no-reboot -name tamarack-guest \
             -machine q35,accel=tcg -cpu qemu64,+rdrand -smp 2 -m 512M \
             -bios F -kernel K -initrd I -append C \
             -chardev stdio,id=console,signal=off -serial chardev:console \
             -chardev socket,id=link,fd=9 -device virtio-serial-pci,max_ports=2 \
             -device virtserialport,chardev=link,name=org.tamarack.link \
             -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
        );
        let arm = command(Architecture::Aarch64, Accelerator::Tcg, &Protection::Emulated);
        assert!(arm.contains("-machine virt,gic-version=max,accel=tcg -cpu cortex-a57 "), "{arm}");
    }

    #[test]
    fn each_hardware_is_asked_for_as_qemu_names_it() {
        let x86 = |protection| command(Architecture::X8664, Accelerator::Kvm, &protection);
        let cases = [
            (
                x86(Protection::Tdx { mrconfigid: [7; 48] }),
                "-machine q35,accel=kvm,kernel-irqchip=split,confidential-guest-support=tee0 \
                 -cpu host -smp 2 -m 512M -object tdx-guest,id=tee0,mrconfigid=\
                 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH -bios F",
            ),
            (
                x86(Protection::SevSnp { host_data: [7; 32], policy: 0x3_0000, cbitpos: 51 }),
                "-machine q35,accel=kvm,vmport=off,confidential-guest-support=tee0,\
                 memory-backend=ram0 -cpu host -smp 2 -m 512M -object sev-snp-guest,id=tee0,\
                 cbitpos=51,reduced-phys-bits=1,policy=0x30000,kernel-hashes=on,\
                 host-data=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc= \
                 -object memory-backend-memfd,id=ram0,size=512M,share=true -bios F",
            ),
            (
                x86(Protection::Sev {
                    policy: 5,
                    cbitpos: 47,
                    session: "s".to_owned(),
                    owner_key: "k".to_owned(),
                }),
                "-machine q35,accel=kvm,vmport=off,confidential-guest-support=tee0 -cpu host \
                 -smp 2 -m 512M -object sev-guest,id=tee0,cbitpos=47,reduced-phys-bits=1,\
                 policy=0x5,kernel-hashes=on,session-file=s,dh-cert-file=k -bios F",
            ),
            (
                command(
                    Architecture::Aarch64,
                    Accelerator::Kvm,
                    &Protection::Cca { personalization_value: [7; 64] },
                ),
                "-machine virt,gic-version=max,accel=kvm,confidential-guest-support=tee0 \
                 -cpu host -smp 2 -m 512M -object rme-guest,id=tee0,measurement-algorithm=sha256,\
                 personalization-value=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\
                 BwcHBwcHBwcHBwcHBwcHBwcHBw== -bios F",
            ),
        ];
        for (command, expected) in cases {
            assert!(command.contains(expected), "{command}\nlacks\n{expected}");
        }
    }

    fn command(
        architecture: Architecture,
        accelerator: Accelerator,
        protection: &Protection,
    ) -> String {
        let image = Image {
            architecture,
            firmware: None,
            kernel: Vec::new(),
            initrd: Vec::new(),
            command_line: "C".to_owned(),
        };
        let part = |name: &str| name.to_owned();
        let parts = Parts { firmware: Some(part("F")), kernel: part("K"), initrd: part("I") };
        let resources = Resources { memory_mib: 512, processors: 2 };
        arguments(&image, &parts, resources, accelerator, protection, 9).join(" ")
    }
}
