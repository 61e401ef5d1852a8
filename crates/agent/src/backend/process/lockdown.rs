//! Takes away, from the process that will run a Trusted Application, everything it does not need.
//!
//! It knows system calls and limits; it knows nothing of WebAssembly, keys or TEEP. It runs
//! once, in a process with one thread and three descriptors, before the first byte of the
//! Trusted Application is read. What could be enforced on this machine is the result, and goes
//! into the evidence: a machine that lacks Landlock says so, it does not stay silent.

use std::collections::BTreeMap;
use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use serde_json::{Value, json};

/// The limits that the kernel keeps for one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space, the code of the worker itself included.
    pub address_space_bytes_max: u64,
    /// Seconds of processor time in the whole life of the worker.
    pub cpu_s_max: u64,
}

/// What the process is that is locked down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A custodian: our own program, with a component in it or an application beside it.
    Custodian,
    /// A custodian that interprets its component: no memory becomes code any more.
    Interpreter,
    /// An application that is one static program, alone in its process.
    Program,
    /// An application in a container, which has the container's files and may start processes.
    Contained {
        /// Whether it has a network of its own to talk to.
        network: bool,
    },
}

/// What was enforced, in the words that the evidence uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforced(pub Vec<&'static str>);

/// Why a process could not be locked down; it must then not run a Trusted Application.
#[derive(Debug, thiserror::Error)]
pub enum Unprotected {
    /// The lockdown covers one thread, so there must be one only.
    #[error("the process has {0} threads")]
    Threads(usize),
    /// A descriptor beyond the standard three would survive the lockdown.
    #[error("the process has {0} open descriptors")]
    Descriptors(usize),
    /// A system call of the lockdown failed.
    #[error("the kernel refused {what}")]
    Refused {
        /// The step that failed.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The filter could not be built or loaded.
    #[error("the system call filter could not be set up")]
    Filter(#[source] seccompiler::Error),
}

/// Checks that the process is as small as the lockdown assumes: one thread, descriptors 0 to 2.
///
/// Call it first in `main`; it reads `/proc`, so it cannot run after [`enter`].
pub fn check_bare() -> Result<(), Unprotected> {
    let refused = |what| move |source| Unprotected::Refused { what, source };
    let threads =
        std::fs::read_dir("/proc/self/task").map_err(refused("listing its threads"))?.count();
    if threads != 1 {
        return Err(Unprotected::Threads(threads));
    }

    // The listing itself holds one descriptor while it counts.
    let open =
        std::fs::read_dir("/proc/self/fd").map_err(refused("listing its descriptors"))?.count();
    if open > DESCRIPTORS + 1 {
        return Err(Unprotected::Descriptors(open - 1));
    }
    Ok(())
}

/// Locks the calling process down for good.
///
/// Without `no_new_privs`, resource limits and the system call filter there is no sandbox, so
/// their failure is an error. Landlock is a second fence behind the filter: a kernel without it
/// is reported by its absence from the result.
pub fn enter(limits: Limits, profile: Profile) -> Result<Enforced, Unprotected> {
    let mut enforced = Enforced::default();

    rustix::thread::set_no_new_privs(true)
        .map_err(|e| Unprotected::Refused { what: "no_new_privs", source: e.into() })?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| Unprotected::Refused { what: "no dumps", source: e.into() })?;
    enforced.0.push("no_new_privs");

    match restrict_access(profile) {
        Ok(RulesetStatus::FullyEnforced) => enforced.0.push("landlock"),
        Ok(RulesetStatus::PartiallyEnforced) => enforced.0.push("landlock-partial"),
        Ok(RulesetStatus::NotEnforced) | Err(_) => {}
    }

    restrict_resources(limits, profile)?;
    enforced.0.push("rlimits");

    for program in filters(profile).map_err(|e| Unprotected::Filter(e.into()))? {
        seccompiler::apply_filter(&program).map_err(Unprotected::Filter)?;
    }
    enforced.0.push("seccomp");
    if profile == Profile::Interpreter {
        enforced.0.push("no-code-generation");
    }
    Ok(enforced)
}

/// What Landlock would enforce here, found out by a thread that restricts itself and ends.
pub fn landlock_status() -> RulesetStatus {
    std::thread::spawn(|| restrict_access(Profile::Custodian))
        .join()
        .ok()
        .and_then(Result::ok)
        .unwrap_or(RulesetStatus::NotEnforced)
}

/// A ruleset that handles every right. It grants none, but in a container what is in its root.
fn restrict_access(profile: Profile) -> Result<RulesetStatus, landlock::RulesetError> {
    let scope = match profile {
        // The filter keeps it from signalling anybody. A scope would hold back the one signal
        // that is wanted: the kernel's, which ends an application with its custodian.
        Profile::Custodian | Profile::Interpreter => Scope::AbstractUnixSocket.into(),
        Profile::Program | Profile::Contained { .. } => Scope::from_all(LANDLOCK),
    };
    let mut ruleset =
        Ruleset::default().handle_access(AccessFs::from_all(LANDLOCK))?.scope(scope)?;
    if !matches!(profile, Profile::Contained { network: true }) {
        ruleset = ruleset.handle_access(AccessNet::from_all(LANDLOCK))?;
    }
    let mut created = ruleset.create()?;
    if matches!(profile, Profile::Contained { .. }) {
        let read = AccessFs::from_read(LANDLOCK);
        let write = AccessFs::from_all(LANDLOCK);
        for (path, access) in [("/", read), ("/dev", write), ("/tmp", write)] {
            if let Ok(folder) = PathFd::new(path) {
                created = created.add_rule(PathBeneath::new(folder, access))?;
            }
        }
    }
    Ok(created.restrict_self()?.ruleset)
}

fn restrict_resources(limits: Limits, profile: Profile) -> Result<(), Unprotected> {
    let (files, descriptors) = match profile {
        Profile::Custodian | Profile::Interpreter | Profile::Program => (0, DESCRIPTORS_MAX),
        Profile::Contained { .. } => (limits.address_space_bytes_max, CONTAINED_DESCRIPTORS_MAX),
    };
    let mut hard = vec![
        (Resource::As, limits.address_space_bytes_max, "a limit of memory"),
        (Resource::Cpu, limits.cpu_s_max, "a limit of processor time"),
        (Resource::Core, 0, "a limit of core dumps"),
        (Resource::Fsize, files, "a limit of file size"),
        (Resource::Nofile, descriptors, "a limit of descriptors"),
        (Resource::Memlock, 0, "a limit of locked memory"),
        (Resource::Msgqueue, 0, "a limit of message queues"),
    ];
    if matches!(profile, Profile::Contained { .. }) {
        hard.push((Resource::Nproc, PROCESSES_MAX, "a limit of processes"));
    }
    for (resource, limit, what) in hard {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(resource, limit)
            .map_err(|e| Unprotected::Refused { what, source: e.into() })?;
    }
    Ok(())
}

/// Three filters; the kernel takes the strictest verdict.
///
/// The list of what is allowed comes last, because installing a filter is not on it. `clone3`
/// hides its flags in memory where a filter cannot look, so it "does not exist" and the C
/// library falls back to `clone`, whose flags are checked.
fn filters(profile: Profile) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let named = |calls: &[i64]| -> BTreeMap<i64, Vec<SeccompRule>> {
        calls.iter().map(|call| (*call, Vec::new())).collect()
    };
    let numbered = |calls: &[(&str, i64)]| -> BTreeMap<i64, Vec<SeccompRule>> {
        calls.iter().map(|(_, call)| (*call, Vec::new())).collect()
    };
    let mut deadly = numbered(DEADLY);
    if matches!(profile, Profile::Custodian | Profile::Interpreter) {
        deadly.extend(named(&[libc::SYS_execve, libc::SYS_execveat]));
    }
    let deadly = SeccompFilter::new(
        deadly,
        SeccompAction::Allow,
        if matches!(profile, Profile::Contained { .. }) {
            // Programs of an image may try and go on without.
            SeccompAction::Errno(libc::EPERM.unsigned_abs())
        } else {
            SeccompAction::KillProcess
        },
        arch,
    )?;
    let absent = SeccompFilter::new(
        named(&[libc::SYS_clone3]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        arch,
    )?;
    if matches!(profile, Profile::Contained { .. }) {
        let mut denied = numbered(DENIED);
        denied.insert(libc::SYS_clone, namespaces()?);
        let denied = SeccompFilter::new(
            denied,
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM.unsigned_abs()),
            arch,
        )?;
        return [deadly, absent, denied].into_iter().map(BpfProgram::try_from).collect();
    }
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = named(ALLOWED);
    allowed.extend(conditional()?);
    if profile == Profile::Interpreter {
        let exec = u64::from(libc::PROT_EXEC.unsigned_abs());
        let plain = || {
            let mask = SeccompCmpOp::MaskedEq(exec);
            SeccompRule::new(vec![SeccompCondition::new(2, SeccompCmpArgLen::Dword, mask, 0)?])
        };
        allowed.insert(libc::SYS_mmap, vec![plain()?]);
        allowed.insert(libc::SYS_mprotect, vec![plain()?]);
    }
    if profile == Profile::Program {
        allowed.extend(named(PROGRAM));
        allowed.insert(libc::SYS_fcntl, descriptor_controls()?);
    }
    let allowed = SeccompFilter::new(
        allowed,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        arch,
    )?;
    [deadly, absent, allowed].into_iter().map(BpfProgram::try_from).collect()
}

/// Any namespace of its own in the flags of `clone`.
fn namespaces() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    NEW_NAMESPACES
        .into_iter()
        .map(|flag| {
            let flag = u64::from(flag.unsigned_abs());
            let mask = SeccompCmpOp::MaskedEq(flag);
            SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, mask, flag)?])
        })
        .collect()
}

/// The filter of [`Profile::Contained`] in the words of an OCI runtime's configuration.
pub(in crate::backend) fn oci_filter() -> Value {
    let names = |calls: &[(&str, i64)]| -> Vec<String> {
        calls.iter().map(|(name, _)| name.replacen("SYS_", "", 1)).collect()
    };
    let refuse = |names: Vec<String>, error: i32, arguments: Value| {
        json!({
            "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error, "args": arguments,
        })
    };
    let mut refused = vec![
        refuse(names(DEADLY), libc::EPERM, json!([])),
        refuse(names(DENIED), libc::EPERM, json!([])),
        refuse(vec!["clone3".to_owned()], libc::ENOSYS, json!([])),
    ];
    refused.extend(NEW_NAMESPACES.map(|flag| {
        let arguments =
            json!([{ "index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ" }]);
        refuse(vec!["clone".to_owned()], libc::EPERM, arguments)
    }));
    let architecture = format!("SCMP_ARCH_{}", std::env::consts::ARCH.to_uppercase());
    json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": [architecture], "syscalls": refused,
    })
}

/// What a program may do to its descriptors: look, copy, and wait or not.
fn descriptor_controls() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_GETFL, libc::F_SETFD, libc::F_SETFL]
        .into_iter()
        .map(|command| {
            let command = u64::from(command.unsigned_abs());
            let is = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command)?;
            SeccompRule::new(vec![is])
        })
        .collect()
}

/// System calls that are allowed with certain arguments only.
fn conditional() -> Result<Vec<(i64, Vec<SeccompRule>)>, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};

    let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND).unsigned_abs();
    let me = u64::from(std::process::id());
    let only = |conditions: &[(u8, SeccompCmpArgLen, SeccompCmpOp, u64)]| {
        conditions
            .iter()
            .map(|(arg, len, op, value)| {
                SeccompCondition::new(*arg, len.clone(), op.clone(), *value)
            })
            .collect::<Result<Vec<_>, _>>()
            .and_then(SeccompRule::new)
    };

    Ok(vec![
        // Threads of this process, no new processes.
        (
            libc::SYS_clone,
            vec![only(&[(0, Qword, MaskedEq(u64::from(thread)), u64::from(thread))])?],
        ),
        // The name of a thread, and of a mapping.
        (
            libc::SYS_prctl,
            vec![
                only(&[(0, Dword, Eq, u64::from(libc::PR_SET_NAME.unsigned_abs()))])?,
                only(&[(0, Dword, Eq, u64::from(libc::PR_SET_VMA.unsigned_abs()))])?,
            ],
        ),
        // Debug builds look whether a descriptor is open before they close it.
        (libc::SYS_fcntl, vec![only(&[(1, Dword, Eq, u64::from(libc::F_GETFD.unsigned_abs()))])?]),
        // abort() signals itself.
        (libc::SYS_tgkill, vec![only(&[(0, Dword, Eq, me)])?]),
        // Reading a limit; the third argument would be a new one.
        (libc::SYS_prlimit64, vec![only(&[(0, Dword, Eq, 0), (2, Qword, Eq, 0)])?]),
    ])
}

/// Gives each system call with its name.
macro_rules! calls {
    ($($(#[$where:meta])? $call:ident),* $(,)?) => {
        &[$($(#[$where])? (stringify!($call), libc::$call)),*]
    };
}

/// Flags of `clone`, each for a namespace of its own.
const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Descriptors 0 (the agent), 1 and 2 (nothing).
const DESCRIPTORS: usize = 3;

/// Descriptors a worker may ever hold.
const DESCRIPTORS_MAX: u64 = 8;

/// Descriptors a process in a container may hold.
pub(in crate::backend) const CONTAINED_DESCRIPTORS_MAX: u64 = 256;

/// Processes and threads of a container, its custodian included.
pub const PROCESSES_MAX: u64 = 64;

/// Files, network, device controls, signals and abstract sockets: Linux 6.12.
const LANDLOCK: ABI = ABI::V6;

/// What nothing in a worker calls unless it was taken over: the process ends at once.
const DEADLY: &[(&str, i64)] = calls![
    SYS_bpf,
    SYS_delete_module,
    SYS_finit_module,
    SYS_init_module,
    SYS_io_uring_setup,
    SYS_kexec_load,
    SYS_mount,
    SYS_perf_event_open,
    SYS_pidfd_getfd,
    SYS_pidfd_open,
    SYS_pivot_root,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_ptrace,
    SYS_setns,
    SYS_unshare,
    SYS_userfaultfd,
];

/// What a static program needs beyond that, to be started and to run with the usual C library.
/// Starting it is the one `execve` that finds something: Landlock grants no file, and the filter
/// no way to make or open one.
const PROGRAM: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    libc::SYS_clock_getres,
    libc::SYS_execve,
    libc::SYS_getuid,
    libc::SYS_getppid,
    libc::SYS_lseek,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_readv,
    libc::SYS_set_tid_address,
    libc::SYS_uname,
    libc::SYS_writev,
];

/// What no process in a container needs, and what kernels were broken with before.
const DENIED: &[(&str, i64)] = calls![
    SYS_acct,
    SYS_add_key,
    SYS_chroot,
    SYS_clock_adjtime,
    SYS_clock_settime,
    SYS_fanotify_init,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fsopen,
    SYS_fspick,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    #[cfg(target_arch = "x86_64")]
    SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    SYS_iopl,
    SYS_kcmp,
    SYS_keyctl,
    SYS_mbind,
    SYS_mknodat,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_move_pages,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_open_tree,
    SYS_personality,
    SYS_quotactl,
    SYS_reboot,
    SYS_request_key,
    SYS_setdomainname,
    SYS_sethostname,
    SYS_settimeofday,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_umount2,
    SYS_vhangup,
];

/// What Wasmtime, its compiler threads and the frames to the agent need.
const ALLOWED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    // Reaches the filter above, which answers that it does not exist.
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_write,
];
