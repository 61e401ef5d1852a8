//! The component's face: WIT exports, allocator and panic handler.

use alloc::{string::String, vec::Vec};
use core::cell::RefCell;

use crate::planner::Planner;

wit_bindgen::generate!({ path: "../../../crates/agent/wit", world: "trusted-application" });

struct Component;

impl exports::tamarack::ta::application::Guest for Component {
    fn personalize(pd: Vec<u8>) -> Result<(), String> {
        let planner = Planner::new(&pd).map_err(|refused| String::from(refused.text()))?;
        PLANNER.0.replace(Some(planner));
        Ok(())
    }

    fn serve(request: Vec<u8>) -> Result<Vec<u8>, String> {
        let planner = PLANNER.0.borrow();
        let planner = planner.as_ref().ok_or("no Personalization Data has been released yet")?;
        planner.serve(&request).map_err(|refused| String::from(refused.text()))
    }
}

export!(Component);

/// A component instance is single-threaded: its host makes one call at a time.
struct OneThread(RefCell<Option<Planner>>);

// SAFETY: WebAssembly components without the threads proposal have exactly one thread.
unsafe impl Sync for OneThread {}

static PLANNER: OneThread = OneThread(RefCell::new(None));

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

// `memcmp` and its like; nothing else of it is linked.
#[link(name = "c")]
unsafe extern "C" {}

/// How the host puts arguments into this component's memory (canonical ABI).
///
/// # Safety
/// The host calls it with what an earlier call returned, or with no old block.
#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    use alloc::alloc::{Layout, alloc, realloc};
    if new_len == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: sizes and alignment come from the canonical ABI, the old block from this allocator.
    let block = unsafe {
        if old_len == 0 {
            alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_len, align), new_len)
        }
    };
    if block.is_null() {
        core::arch::wasm32::unreachable();
    }
    block
}
