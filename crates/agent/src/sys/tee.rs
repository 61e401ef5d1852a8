//! The ioctls of `/dev/tee0` (`linux/tee.h`): sessions with what runs in OP-TEE.

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::Path;

use rustix::ioctl::{Getter, Ioctl, IoctlOutput, Opcode, Updater, ioctl, opcode};

/// The secure world, as a client in the normal world reaches it.
pub trait SecureWorld: Send {
    /// Opens a session with a service, gives it one command and closes the session.
    fn invoke(
        &self,
        service: &[u8; 16],
        command: u32,
        parameters: &mut [Parameter],
    ) -> Result<(), Failed>;
}

/// A parameter of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Bytes for the service.
    Input(Vec<u8>),
    /// Room for bytes of the service; afterwards what it wrote.
    Output(Vec<u8>),
    /// Numbers of the service, which nobody needs here.
    ValueOutput,
}

/// A command was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The operating system's error.
    Os(i32),
    /// It is another TEE than OP-TEE, or an OP-TEE without registered memory.
    Other,
    /// What the secure world says (TEE_Result).
    Result(u32),
}

/// The device node.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// Opens it.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::options().read(true).write(true).open(path).map(Self)
    }

    /// Whether this is an OP-TEE that takes memory of ours.
    fn check(&self) -> Result<(), Failed> {
        // SAFETY: the operation writes one `tee_ioctl_version_data`, whose layout `Version` has.
        #[expect(unsafe_code, reason = "the compiler knows of no ioctl what it writes")]
        let version = unsafe { ioctl(&self.0, Getter::<VERSION, Version>::new()) }?;
        let registers = version.capabilities & REGISTERS_MEMORY != 0;
        if version.implementation == OP_TEE && registers { Ok(()) } else { Err(Failed::Other) }
    }

    /// Shares a page for as long as the descriptor is open; the number names it in parameters.
    fn share(&self, page: &mut Page) -> Result<(OwnedFd, i32), Failed> {
        let mut memory = Memory {
            address: page.0.as_mut_ptr() as u64,
            length: page.0.len() as u64,
            flags: 0,
            id: 0,
        };
        // SAFETY: the operation takes one `tee_ioctl_shm_register_data`, whose layout `Memory` has,
        // and gives a new descriptor. The page is whole, so nothing else of ours is shared; the
        // secure world writes to it only during a command, while it is exclusively borrowed.
        #[expect(unsafe_code, reason = "the kernel's structures hold addresses")]
        let descriptor = unsafe { ioctl(&self.0, Register(&mut memory)) }?;
        Ok((descriptor, memory.id))
    }

    fn open_session(&self, service: &[u8; 16]) -> Result<u32, Failed> {
        let mut arguments = OpenSession { service: *service, ..OpenSession::default() };
        self.call::<OPEN_SESSION, _>(&mut arguments)?;
        Failed::unless_done(arguments.result)?;
        Ok(arguments.session)
    }

    /// Makes a request whose arguments are behind an address.
    fn call<const OPERATION: Opcode, A>(&self, arguments: &mut A) -> Result<(), Failed> {
        let mut buffer =
            Buffer { address: std::ptr::from_mut(arguments) as u64, length: size_of::<A>() as u64 };
        // SAFETY: the operation takes one `tee_ioctl_buf_data`, whose layout `Buffer` has; it reads
        // and writes what that names, which is exclusively borrowed and plain numbers.
        #[expect(unsafe_code, reason = "the kernel's structures hold addresses")]
        unsafe {
            ioctl(&self.0, Updater::<OPERATION, Buffer>::new(&mut buffer))?;
        }
        Ok(())
    }
}

impl SecureWorld for Device {
    fn invoke(
        &self,
        service: &[u8; 16],
        command: u32,
        parameters: &mut [Parameter],
    ) -> Result<(), Failed> {
        self.check()?;
        let mut page = Box::new(Page([0; PAGE_BYTES]));
        let mut laid_out = LaidOut::new(parameters, &mut page).ok_or(Failed::Os(libc::E2BIG))?;
        let (_shared, id) = self.share(&mut page)?;
        let session = self.open_session(service)?;
        let mut arguments =
            Invoke { function: command, session, count: COUNT, ..Invoke::default() };
        arguments.parameters = laid_out.parameters(id);
        let called = self.call::<INVOKE, _>(&mut arguments);
        // SAFETY: the operation takes one number, which it reads.
        #[expect(unsafe_code, reason = "the compiler knows of no ioctl what it reads")]
        let _closed = unsafe {
            let mut session = session;
            ioctl(&self.0, Updater::<CLOSE_SESSION, u32>::new(&mut session))
        };
        called?;
        Failed::unless_done(arguments.result)?;
        laid_out.take(&arguments.parameters, parameters, &page).ok_or(Failed::Os(libc::EPROTO))
    }
}

impl Failed {
    fn unless_done(result: u32) -> Result<(), Self> {
        if result == 0 { Ok(()) } else { Err(Self::Result(result)) }
    }
}

impl From<rustix::io::Errno> for Failed {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Os(error.raw_os_error())
    }
}

/// Where each parameter is in the page.
struct LaidOut(Vec<(u64, usize, usize)>);

impl LaidOut {
    /// Puts the inputs into a page; nothing where there is no room for all parameters.
    fn new(parameters: &[Parameter], page: &mut Page) -> Option<Self> {
        if parameters.len() > COUNT as usize {
            return None;
        }
        let (mut places, mut at) = (Vec::new(), 0);
        for parameter in parameters {
            let (kind, bytes) = match parameter {
                Parameter::Input(bytes) => (MEMORY_INPUT, bytes.as_slice()),
                Parameter::Output(room) => (MEMORY_OUTPUT, room.as_slice()),
                Parameter::ValueOutput => (VALUE_OUTPUT, &[][..]),
            };
            page.0.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
            places.push((kind, at, bytes.len()));
            at = (at + bytes.len()).next_multiple_of(8);
        }
        Some(Self(places))
    }

    fn parameters(&mut self, memory: i32) -> [Raw; COUNT as usize] {
        let mut raw = [Raw::default(); COUNT as usize];
        for (raw, (kind, at, length)) in raw.iter_mut().zip(&self.0) {
            raw.kind = *kind;
            if *kind != VALUE_OUTPUT {
                (raw.a, raw.b) = (*at as u64, *length as u64);
                raw.c = i64::from(memory).cast_unsigned();
            }
        }
        raw
    }

    /// Gives each output what was written; nothing where more was written than there was room.
    fn take(&self, raw: &[Raw], parameters: &mut [Parameter], page: &Page) -> Option<()> {
        for ((raw, (_, at, room)), parameter) in raw.iter().zip(&self.0).zip(parameters) {
            if let Parameter::Output(bytes) = parameter {
                let written = usize::try_from(raw.b).ok().filter(|written| written <= room)?;
                *bytes = page.0.get(*at..at + written)?.to_vec();
            }
        }
        Some(())
    }
}

/// Memory that is shared as a whole.
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

/// `struct tee_ioctl_version_data`.
#[repr(C)]
struct Version {
    implementation: u32,
    of_implementation: u32,
    capabilities: u32,
}

/// `struct tee_ioctl_shm_register_data`.
#[repr(C)]
struct Memory {
    address: u64,
    length: u64,
    flags: u32,
    id: i32,
}

/// `struct tee_ioctl_buf_data`.
#[repr(C)]
struct Buffer {
    address: u64,
    length: u64,
}

/// `struct tee_ioctl_open_session_arg` without parameters.
#[derive(Default)]
#[repr(C, align(8))]
struct OpenSession {
    service: [u8; 16],
    client: [u8; 16],
    login: u32,
    cancel: u32,
    session: u32,
    result: u32,
    origin: u32,
    count: u32,
}

/// `struct tee_ioctl_invoke_arg` with four parameters.
#[derive(Default)]
#[repr(C, align(8))]
struct Invoke {
    function: u32,
    session: u32,
    cancel: u32,
    result: u32,
    origin: u32,
    count: u32,
    parameters: [Raw; COUNT as usize],
}

/// `struct tee_ioctl_param`: numbers, or offset, size and number of shared memory.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Raw {
    kind: u64,
    a: u64,
    b: u64,
    c: u64,
}

/// The operation that gives a descriptor back.
struct Register<'m>(&'m mut Memory);

// SAFETY: the operation reads and writes one `tee_ioctl_shm_register_data`, which the pointer
// names, and returns a descriptor of our own, or an error, which never gets here.
#[expect(unsafe_code, reason = "the compiler knows of no ioctl what it gives")]
unsafe impl Ioctl for Register<'_> {
    type Output = OwnedFd;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        SHM_REGISTER
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(
        output: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<OwnedFd> {
        // SAFETY: the kernel made the descriptor for this call.
        Ok(unsafe { OwnedFd::from_raw_fd(output) })
    }
}

const VERSION: Opcode = opcode::read::<Version>(MAGIC, 0);
const OPEN_SESSION: Opcode = opcode::read::<Buffer>(MAGIC, 2);
const INVOKE: Opcode = opcode::read::<Buffer>(MAGIC, 3);
const CLOSE_SESSION: Opcode = opcode::read::<u32>(MAGIC, 5);
const SHM_REGISTER: Opcode = opcode::read_write::<Memory>(MAGIC, 9);
const MAGIC: u8 = 0xa4;
/// TEE_IMPL_ID_OPTEE.
const OP_TEE: u32 = 1;
/// TEE_GEN_CAP_REG_MEM.
const REGISTERS_MEMORY: u32 = 1 << 2;
/// TEE_IOCTL_PARAM_ATTR_TYPE_*.
const VALUE_OUTPUT: u64 = 2;
const MEMORY_INPUT: u64 = 5;
const MEMORY_OUTPUT: u64 = 6;
/// How many parameters a command has.
const COUNT: u32 = 4;
const PAGE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_structures_are_the_kernels() {
        assert_eq!((VERSION, SHM_REGISTER), (0x800c_a400, 0xc018_a409));
        assert_eq!((OPEN_SESSION, INVOKE, CLOSE_SESSION), (0x8010_a402, 0x8010_a403, 0x8004_a405));
        assert_eq!((size_of::<OpenSession>(), size_of::<Invoke>()), (56, 24 + 4 * 32));
        assert_eq!((size_of::<Page>(), align_of::<Page>()), (4096, 4096));
    }

    #[test]
    fn parameters_lie_side_by_side_and_outputs_come_back_as_long_as_they_are() {
        let mut page = Page([0; PAGE_BYTES]);
        let mut parameters =
            [Parameter::Input(vec![7; 9]), Parameter::Output(vec![0; 32]), Parameter::ValueOutput];
        let mut laid_out = LaidOut::new(&parameters, &mut page).unwrap();

        let mut raw = laid_out.parameters(3);
        assert_eq!(page.0[..10], [7, 7, 7, 7, 7, 7, 7, 7, 7, 0]);
        let numbers = raw.map(|raw| (raw.kind, raw.a, raw.b, raw.c));
        let expected =
            [(MEMORY_INPUT, 0, 9, 3), (MEMORY_OUTPUT, 16, 32, 3), (VALUE_OUTPUT, 0, 0, 0)];
        assert_eq!(numbers[..3], expected);
        page.0[16..20].fill(8);
        raw[1].b = 4;
        laid_out.take(&raw, &mut parameters, &page).unwrap();
        assert_eq!(parameters[1], Parameter::Output(vec![8; 4]));

        raw[1].b = 33;
        assert_eq!(laid_out.take(&raw, &mut parameters, &page), None);
        assert!(LaidOut::new(&[Parameter::Output(vec![0; 4097])], &mut page).is_none());
        assert!(LaidOut::new(&[const { Parameter::ValueOutput }; 5], &mut page).is_none());
    }
}
