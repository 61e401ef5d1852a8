//! The fences of a UA that its rights decide: folders, network, limits.

use std::{collections::BTreeMap, io, path::Path};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::ua::rights::{Folder, Limits, Network};

/// Sets what the process may use up.
pub(crate) fn limit(limits: &Limits) -> io::Result<()> {
    for (resource, limit) in [
        (Resource::Core, 0),
        (Resource::Data, limits.memory_mib << 20),
        (Resource::Fsize, limits.file_mib << 20),
        (Resource::Nofile, limits.descriptors),
        (Resource::Nproc, limits.processes),
    ] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

/// Lets the process read the system's programs and libraries, and use its own directory and the
/// folders that it was given.
pub(crate) fn files(
    program: &Path,
    room: &Path,
    folders: &[Folder],
) -> Result<RulesetStatus, RulesetError> {
    let all = AccessFs::from_all(LANDLOCK);
    let read = AccessFs::from_read(LANDLOCK);
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let mut rules: Vec<(&Path, BitFlags<AccessFs>)> =
        vec![(room, all), (program, AccessFs::ReadFile | AccessFs::Execute)];
    rules.extend(SYSTEM.map(|path| (Path::new(path), read)));
    rules.extend(DEVICES.map(|path| (Path::new(path), device)));
    let given = |folder: &Folder| if folder.write { all & !AccessFs::Execute } else { look };
    rules.extend(folders.iter().map(|folder| (folder.path.as_path(), given(folder))));
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    for (path, access) in rules {
        // What this system does not have needs no rule.
        if let Ok(parent) = PathFd::new(path) {
            let access =
                if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) };
            ruleset = ruleset.add_rule(PathBeneath::new(parent, access))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// Refuses a folder that somebody has put a link in the place of: a link could lead anywhere.
pub(crate) fn real(folders: &[Folder]) -> io::Result<()> {
    for Folder { path, .. } in folders {
        let found = path.canonicalize()?;
        if found != *path {
            let text =
                format!("the folder `{}` is a link to `{}`", path.display(), found.display());
            return Err(io::Error::other(text));
        }
    }
    Ok(())
}

/// Keeps the process and what it starts from TCP ports that it was not given. A kernel that
/// cannot is refused: the package asks for it.
pub(crate) fn ports(network: &Network) -> Result<(), RulesetError> {
    let Network::Tcp { listen, connect } = network else { return Ok(()) };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessNet::from_all(ABI::V4))?
        .create()?;
    for (ports, access) in [(listen, AccessNet::BindTcp), (connect, AccessNet::ConnectTcp)] {
        for port in ports {
            ruleset = ruleset.add_rule(NetPort::new(*port, access))?;
        }
    }
    ruleset.restrict_self()?;
    Ok(())
}

/// Keeps the process from making sockets of other kinds than it was given. What it has inherited
/// is its way to the Broker; no other local socket is its business, so it makes none.
pub(crate) fn sockets(network: &Network) -> io::Result<()> {
    let filter = filter(network).map_err(io::Error::other)?;
    seccompiler::apply_filter(&filter).map_err(io::Error::other)
}

fn filter(network: &Network) -> Result<BpfProgram, seccompiler::BackendError> {
    let is = |argument, op, value: i32| {
        let value = u64::from(value.unsigned_abs());
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
    };
    let family = |family| is(0, SeccompCmpOp::Eq, family);
    let rules = match network {
        Network::None => Vec::new(),
        Network::All => {
            let families = [libc::AF_UNIX, libc::AF_VSOCK].into_iter();
            families.map(|one| SeccompRule::new(vec![family(one)?])).collect::<Result<_, _>>()?
        }
        Network::Tcp { .. } => {
            let other = |one| is(0, SeccompCmpOp::Ne, one);
            let mut rules =
                vec![SeccompRule::new(vec![other(libc::AF_INET)?, other(libc::AF_INET6)?])?];
            // In the lowest bits of the type; the others are flags.
            for kind in (0..=KIND_BITS).filter(|kind| *kind != libc::SOCK_STREAM) {
                let mask = SeccompCmpOp::MaskedEq(u64::from(KIND_BITS.unsigned_abs()));
                rules.push(SeccompRule::new(vec![is(1, mask, kind)?])?);
            }
            // A stream of another protocol than TCP, such as MPTCP, passes by the ports.
            let protocol = |op, value| is(2, op, value);
            rules.push(SeccompRule::new(vec![
                protocol(SeccompCmpOp::Ne, 0)?,
                protocol(SeccompCmpOp::Ne, libc::IPPROTO_TCP)?,
            ])?);
            rules
        }
    };
    let mut refused = BTreeMap::from([(libc::SYS_socket, rules.clone())]);
    // What makes sockets and connections beside that call, as io_uring does.
    refused.insert(libc::SYS_io_uring_setup, Vec::new());
    if cfg!(target_arch = "x86_64") {
        // The same call in the numbers of x32.
        refused.insert(libc::SYS_socket | X32, rules);
        refused.insert(libc::SYS_io_uring_setup | X32, Vec::new());
    }
    SeccompFilter::new(
        refused,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EACCES.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

const KIND_BITS: i32 = 0xf;
const LANDLOCK: ABI = ABI::V6;
const X32: i64 = 0x4000_0000;

/// What a program needs to start, to find names and to check certificates.
const SYSTEM: [&str; 19] = [
    "/bin",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run/systemd/resolve",
    "/sbin",
    "/sys/devices/system/cpu",
    "/usr",
];

const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];
