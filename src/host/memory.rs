//! The module's allocator: the system's, with one block that serves the headers of request after request.
//!
//! All headers of a request come in one block of memory that the host asks for. The system's allocator would find
//! another one each time: of the thousands of about that size that reading a large policy leaves behind, none of which
//! is in any cache.
#![expect(unsafe_code, reason = "an allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr::null_mut,
};

/// The size of the block: more than the headers of most requests take.
const SIZE: usize = 4096;
const LAYOUT: Layout = Layout::new::<[u8; SIZE]>();

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

struct Allocator;

thread_local! {
    /// The block, once it was first wanted; it is never given back.
    static BLOCK: Cell<*mut u8> = const { Cell::new(null_mut()) };
    /// Somebody has it.
    static TAKEN: Cell<bool> = const { Cell::new(false) };
    /// The block while it goes to whoever next asks for bytes; else null.
    static OFFERED: Cell<*mut u8> = const { Cell::new(null_mut()) };
}

// SAFETY: the block is as large as what it stands in for, and goes to one at a time.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let offered = OFFERED.get();
        if !offered.is_null() && layout.size() <= SIZE && layout.align() == LAYOUT.align() {
            OFFERED.set(null_mut());
            TAKEN.set(true);
            return offered;
        }
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if memory == BLOCK.get() {
            TAKEN.set(false);
        } else {
            // SAFETY: whatever else there is comes from it.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if memory != BLOCK.get() {
            // SAFETY: as above.
            return unsafe { System.realloc(memory, layout, size) };
        }
        // SAFETY: the caller promises that the new size is one; both places are as large as what is copied.
        unsafe {
            let moved = System.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(memory, layout.size().min(size));
                TAKEN.set(false);
            }
            moved
        }
    }
}

/// Makes a call for which the host asks for memory once, and has it use the block where that is free and large enough.
pub(super) fn in_block<T>(call: impl FnOnce() -> T) -> T {
    if !TAKEN.get() {
        if BLOCK.get().is_null() {
            // SAFETY: its size is not zero.
            BLOCK.set(unsafe { System.alloc(LAYOUT) });
        }
        OFFERED.set(BLOCK.get());
    }
    let answer = call();
    OFFERED.set(null_mut());
    answer
}
