//! A stand-in for Huawei's `libqca.so`, compiled by a test as a library of its own.

use std::slice;

#[repr(C)]
pub struct Buffer {
    size: u32,
    bytes: *mut u8,
}

/// Answers with the nonce of the request, and fills the rest of the buffer with zeros.
///
/// # Safety
/// Both buffers are as long as they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RemoteAttest(input: *mut Buffer, output: *mut Buffer) -> u32 {
    let (input, output) = unsafe { (&*input, &mut *output) };
    if output.size < 0x3000 {
        return 0xffff_0006;
    }
    let request = unsafe { slice::from_raw_parts(input.bytes, input.size as usize) };
    let request = std::str::from_utf8(request).unwrap();
    let nonce = request.split("\"nonce\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let answer = format!(
        "{{\"payload\":{{\"nonce\":\"{}\"}},\"akcert\":{{\"sce_no_as\":{{\"signature\":\
         {{\"drk_cert\":\"of the library\"}}}}}}}}\0\0",
        nonce.unwrap_or("none")
    );
    let room = unsafe { slice::from_raw_parts_mut(output.bytes, output.size as usize) };
    room[..answer.len()].copy_from_slice(answer.as_bytes());
    output.size = answer.len() as u32;
    0
}
