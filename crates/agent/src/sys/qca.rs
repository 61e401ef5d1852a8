//! Huawei's library `libqca.so`, which asks iTrustee's quoting TA.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The quoting TA, as its host library reaches it.
pub trait Qca: Send {
    /// `RemoteAttest`: gives a JSON request to the quoting TA, and its answer back; or its
    /// TEEC_Result.
    fn remote_attest(&self, request: &str) -> Result<Vec<u8>, u32>;
}

/// The loaded library. It stays loaded: what it left behind in the process may still be called.
#[derive(Debug)]
pub struct Library(RemoteAttest);

/// ```c
/// struct ra_buffer_data { uint32_t size; uint8_t *buf; };
/// TEEC_Result RemoteAttest(struct ra_buffer_data *in, struct ra_buffer_data *out);
/// ```
type RemoteAttest = unsafe extern "C" fn(*mut Buffer, *mut Buffer) -> u32;

/// `struct ra_buffer_data`.
#[repr(C)]
struct Buffer {
    size: u32,
    bytes: *mut u8,
}

impl Library {
    /// Loads the library; nothing where it is none.
    ///
    /// What is loaded runs in the Agent, so the path must lead to a file that is measured with it.
    pub fn load(path: &Path) -> Option<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: both are strings with an end. Loading runs the library's own code: that it is
        // trusted as the Agent itself is what the caller was told above.
        #[expect(unsafe_code, reason = "a library is code")]
        let symbol = unsafe {
            let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            if library.is_null() {
                return None;
            }
            libc::dlsym(library, c"RemoteAttest".as_ptr())
        };
        if symbol.is_null() {
            return None;
        }
        // SAFETY: the library's header declares the symbol as this function, and a pointer to it
        // that is not null is one.
        #[expect(unsafe_code, reason = "a symbol has no type")]
        let function = unsafe { std::mem::transmute::<*mut libc::c_void, RemoteAttest>(symbol) };
        Some(Self(function))
    }
}

impl Qca for Library {
    fn remote_attest(&self, request: &str) -> Result<Vec<u8>, u32> {
        let mut request = request.as_bytes().to_vec();
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        let mut input = buffer(&mut request);
        let mut output = buffer(&mut answer);
        // SAFETY: both buffers are exclusively ours for the call, and as long as they say. The
        // library reads the one, writes the other, and keeps neither.
        #[expect(unsafe_code, reason = "the library takes addresses")]
        let result = unsafe { (self.0)(&raw mut input, &raw mut output) };
        if result != 0 {
            return Err(result);
        }
        answer.truncate(output.size as usize);
        while answer.last() == Some(&0) {
            answer.pop();
        }
        Ok(answer)
    }
}

fn buffer(bytes: &mut [u8]) -> Buffer {
    Buffer { size: bytes.len().try_into().unwrap_or(u32::MAX), bytes: bytes.as_mut_ptr() }
}

/// The least room that the library takes.
const ANSWER_BYTES_MAX: usize = 0x3000;
